// Package ecs says which task of Amazon ECS a container belongs to: from what came
// with its lines, the labels that the ECS agent gives containers, FireLens' tag or the
// keys its routers add, or by asking the agent on the instance.
//
// Asking never makes anybody wait: Agent.Task answers with what is known now and has
// the rest found out in the background. What is known is bounded, and so is how often
// the agent is asked, also about containers that it does not know.
package ecs

package ecs

import (
	"strings"

	"tributary/schema"
)

// The labels that the ECS agent gives to containers. TaskID is ours: FireLens' tag has
// the id alone.
const (
	LabelCluster   = "com.amazonaws.ecs.cluster"
	LabelContainer = "com.amazonaws.ecs.container-name"
	LabelTask      = "com.amazonaws.ecs.task-arn"
	LabelTaskID    = "com.amazonaws.ecs.task-id"
	LabelFamily    = "com.amazonaws.ecs.task-definition-family"
	LabelRevision  = "com.amazonaws.ecs.task-definition-version"
)

// Task is a container's place in ECS; what is not known is empty.
type Task struct {
	Cluster, ARN, ID, Family, Revision string
	Container                          string // as the task definition names it
}

// Labels are the task as the labels that are not among have.
func (t *Task) Labels(have []schema.Label) (missing []schema.Label) {
	for _, l := range []schema.Label{
		{Name: LabelCluster, Value: t.Cluster}, {Name: LabelContainer, Value: t.Container}, {Name: LabelTask, Value: t.ARN},
		{Name: LabelTaskID, Value: t.ID}, {Name: LabelFamily, Value: t.Family}, {Name: LabelRevision, Value: t.Revision},
	} {
		if l.Value != "" && value(have, l.Name) == "" {
			missing = append(missing, l)
		}
	}
	return missing
}

// Complete reports whether labels say what the agent would.
func Complete(labels []schema.Label) bool {
	return value(labels, LabelTask) != "" && value(labels, LabelContainer) != "" && value(labels, LabelFamily) != ""
}

// Given is what a tag and the attributes of a line say, labels aside: FireLens' tag is
// <container>-firelens-<task id>, and its routers add ecs_cluster, ecs_task_arn and
// ecs_task_definition (family:revision).
func Given(tag string, attributes []schema.Label) (t Task) {
	if i := strings.LastIndex(tag, "-firelens-"); i > 0 && isTaskID(tag[i+len("-firelens-"):]) {
		t.Container, t.ID = tag[:i], tag[i+len("-firelens-"):]
	}
	t.Cluster, t.ARN = value(attributes, "ecs_cluster"), value(attributes, "ecs_task_arn")
	t.Family, t.Revision, _ = strings.Cut(value(attributes, "ecs_task_definition"), ":")
	return t
}

// isTaskID holds for 32 hex digits, and for the older form with dashes.
func isTaskID(s string) bool {
	return (len(s) == 32 || len(s) == 36) && strings.Trim(s, "0123456789abcdef-") == ""
}

func value(labels []schema.Label, name string) string {
	for i := range labels {
		if labels[i].Name == name {
			return labels[i].Value
		}
	}
	return ""
}

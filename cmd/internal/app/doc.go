// Package app holds what the subcommands share: the configuration as a whole, the
// logger, the AWS clients, the admin page, the progress line, and the adapter that
// ties a component's Run to the life of the process. It and cmd/tributary are the
// only places that know fx.
package app

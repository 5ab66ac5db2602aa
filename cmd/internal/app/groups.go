package app

import (
	"context"
	"errors"
	"log/slog"

	"tributary/consumers"
)

// NewGroups gives what looks at consumer groups and resets them.
func NewGroups(ctx context.Context, s *Settings, log *slog.Logger) (*consumers.Admin, error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, err
	}
	of := consumers.AdminConfig{Stream: s.Stream.Ref, LeaseDuration: s.Lake.Group.LeaseDuration, AttemptTimeout: s.Lake.Group.AttemptTimeout}
	return consumers.NewAdmin(of, NewKinesis(cfg), NewDynamoDB(cfg), log), nil
}

// LeaseTable is the table of a group: that of the configuration if the group is in
// it, else the one of the same name.
func (s *Settings) LeaseTable(group string) string {
	for _, g := range s.groups() {
		if group == g.Group.Name && g.Group.LeaseTable != "" {
			return g.Group.LeaseTable
		}
	}
	return group
}

// CheckGroups tells what is wrong for "groups".
func (s *Settings) CheckGroups() error {
	return errors.Join(faults("stream", s.Stream.Validate()), faults("lake.group", s.Lake.Group.Validate()))
}

// RefusedGroup makes a Fault of what a person has to change about a group.
func RefusedGroup(err error) error {
	if errors.Is(err, consumers.ErrRefused) {
		return Fault{err}
	}
	return err
}

package logtail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"tributary/cmd/internal/config"
)

// A Pattern names one log group, or many by how their names begin and end.
type Pattern struct {
	Prefix, Suffix string
	Many           bool   // false: Prefix is the whole name
	Except         string // of many, those whose names end in it are left out; empty: none are
}

var nameParts = regexp.MustCompile(`^[-._/#A-Za-z0-9]{0,512}$`)

// ParsePattern reads a group's name. One * stands for anything; so does the end of a
// name that ends in a slash.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{}
	p.Prefix, p.Suffix, p.Many = strings.Cut(text, "*")
	p.Many = p.Many || strings.HasSuffix(text, "/")
	if text == "" || !nameParts.MatchString(p.Prefix) || !nameParts.MatchString(p.Suffix) {
		return Pattern{}, fmt.Errorf("%q names no log group: want letters, digits and any of . _ - / #, and at most one *", text)
	}
	return p, nil
}

// Under is the pattern of the groups below those of p, such as its "/errors".
func (p Pattern) Under(suffix string) Pattern {
	if p.Many {
		p.Suffix += suffix
	} else {
		p.Prefix += suffix
	}
	return p
}

func (p Pattern) String() string {
	if p.Many {
		return p.Prefix + "*" + p.Suffix
	}
	return p.Prefix
}

func (p Pattern) matches(name string) bool {
	return len(name) >= len(p.Prefix)+len(p.Suffix) && strings.HasPrefix(name, p.Prefix) && strings.HasSuffix(name, p.Suffix) &&
		(p.Except == "" || !strings.HasSuffix(name, p.Except))
}

// groups gives the names of all groups that are meant, and whether each was named
// itself.
func (r *Reader) groups(ctx context.Context) (map[string]bool, error) {
	found := make(map[string]bool)
	for _, p := range r.query.Groups {
		if !p.Many {
			found[p.Prefix] = true
			continue
		}
		err := r.list(ctx, p.Prefix, func(name string) bool {
			if _, known := found[name]; !known && p.matches(name) {
				found[name] = false
			}
			return len(found) <= r.cfg.MaxGroups
		})
		if err != nil {
			return nil, err
		}
	}
	if len(found) > r.cfg.MaxGroups {
		return nil, refuse("%s names more than %d log groups: name fewer", r.patterns(), r.cfg.MaxGroups)
	}
	return found, nil
}

func (r *Reader) patterns() string {
	var names []string
	for _, p := range r.query.Groups {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// list goes through the names that begin with prefix until more is false.
func (r *Reader) list(ctx context.Context, prefix string, more func(name string) bool) error {
	in := &cloudwatchlogs.DescribeLogGroupsInput{}
	if prefix != "" {
		in.LogGroupNamePrefix = &prefix
	}
	for {
		var out *cloudwatchlogs.DescribeLogGroupsOutput
		err := r.call(ctx, "DescribeLogGroups", Pattern{Prefix: prefix, Many: true}.String(), func(ctx context.Context) (err error) {
			out, err = r.client.DescribeLogGroups(ctx, in, singleAttempt)
			return err
		})
		if err != nil {
			return err
		}
		for _, g := range out.LogGroups {
			if g.LogGroupName != nil && !more(*g.LogGroupName) {
				return nil
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

// nearby is how many names are looked at for those that may have been meant.
const nearby = 500

// explain says of a group that is not there, or of patterns without a group, what
// there is.
func (r *Reader) explain(ctx context.Context, err error) error {
	var gone missing
	if !errors.As(err, &gone) {
		return err
	}
	var names []string
	look := func(name string) bool { names = append(names, name); return len(names) < nearby }
	folder := gone.name[:strings.LastIndexByte(gone.name, '/')+1]
	if err := r.list(ctx, folder, look); err == nil && len(names) == 0 && folder != "" {
		_ = r.list(ctx, "", look) // what it found is a hint, and without one the reason still stands
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(config.Distance(a, gone.name), config.Distance(b, gone.name))
	})
	hint := ""
	if names = names[:min(len(names), 3)]; len(names) > 0 {
		hint = "; the nearest: " + strings.Join(names, ", ")
	}
	return refuse("%s%s", gone, hint)
}

func (r *Reader) none() error { return missing{name: r.patterns(), many: true} }

func sorted(groups map[string]bool) []string { return slices.Sorted(maps.Keys(groups)) }

package filter_test

import (
	"testing"

	"tributary/schema"
	"tributary/schema/filter"
)

// line has 500 bytes, as Spring writes them.
const line = `{"@timestamp":"2023-11-14T22:13:20.123+0000","level":"INFO","logger":"com.example.shop.order.OrderService7",` +
	`"thread":"http-nio-8080-exec-12","message":"order 8273645 of customer 48213 was placed, total 12980 yen, paid by card","trace_id":"0af7651916cd43dd8448eb211c80319c",` +
	`"span_id":"b7ad6b7169203331","mdc":{"path":"/api/v1/orders/8273645","method":"POST","user":"u-48213","session":"7f3c9a1e5d","region":"ap-northeast-1"},` +
	`"application":"shop-api","environment":"production","version":"2024.11.3-b1f00d","pid":1,"ok":true}   `

func BenchmarkJudge(b *testing.B) {
	cond := func(c filter.Condition) filter.Rule { return filter.Rule{Action: filter.Exclude, Condition: c} }
	level := filter.DefaultRules()
	full := filter.DefaultRules()
	full.Rules = []filter.Rule{
		cond(filter.Condition{Levels: []string{"<=DEBUG"}}),
		cond(filter.Condition{Services: []string{"health-*", "*-canary"}}),
		cond(filter.Condition{Fields: []filter.Field{{Path: "mdc.path", Glob: []string{"/health*", "/metrics"}}}}),
		{Action: filter.Sample, Rate: 0.5, Key: []string{"trace_id"}, Condition: filter.Condition{Kinds: []string{"app"}, Levels: []string{"INFO"}}},
	}
	for _, x := range []struct {
		name  string
		rules filter.Rules
		kind  schema.Kind
	}{
		{"nothing asked", filter.Rules{}, schema.KindApp},
		{"raw", full, schema.KindRaw},
		{"level", level, schema.KindApp},
		{"four rules", full, schema.KindApp},
	} {
		b.Run(x.name, func(b *testing.B) {
			f, err := x.rules.Compile()
			if err != nil {
				b.Fatal(err)
			}
			s := of(x.kind, "shop-api", line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				f.Judge(s)
			}
		})
	}
	b.Run("only walked", func(b *testing.B) {
		text := []byte(line)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			_ = schema.WalkObject(text, nil)
		}
	})
}

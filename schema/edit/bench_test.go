package edit_test

import (
	"testing"

	"tributary/schema/edit"
	"tributary/schema/filter"
)

// line has 500 bytes, as Spring writes them.
const line = `{"@timestamp":"2023-11-14T22:13:20.123+0000","level":"INFO","logger":"com.example.shop.order.OrderService7",` +
	`"thread":"http-nio-8080-exec-12","message":"order 8273645 of customer 48213 was placed, total 12980 yen, paid by card","trace_id":"0af7651916cd43dd8448eb211c80319c",` +
	`"span_id":"b7ad6b7169203331","mdc":{"path":"/api/v1/orders/8273645","method":"POST","user":"u-48213","session":"7f3c9a1e5d","region":"ap-northeast-1"},` +
	`"application":"shop-api","environment":"production","version":"2024.11.3-b1f00d","pid":1,"ok":true}   `

func BenchmarkApply(b *testing.B) {
	rules := []edit.Rule{
		{Action: edit.Drop, Condition: filter.Condition{Fields: []filter.Field{{Path: "mdc.path", Glob: []string{"/health*"}}}}},
		{Action: edit.Sample, Rate: 0.1, Key: []string{"trace_id"}, Condition: filter.Condition{Levels: []string{"<=DEBUG"}}},
		{Action: edit.Truncate, Paths: []string{"message", "stack_trace"}, MaxBytes: 8 << 10},
	}
	masks := append(rules[:3:3], edit.Rule{Action: edit.Mask, Paths: []string{"mdc.user", "mdc.session", "request_body.email"}})
	for _, x := range []struct {
		name    string
		rules   []edit.Rule
		service string
	}{
		{"no rules", nil, "shop-api"},
		{"a rule of another service", []edit.Rule{{Action: edit.Mask, Paths: []string{"a"}, Condition: filter.Condition{Services: []string{"web"}}}}, "shop-api"},
		{"three rules and a mask", masks, "shop-api"},
		{"and a name anywhere", append(masks[:4:4], edit.Rule{Action: edit.Mask, Paths: []string{"**.password"}}), "shop-api"},
		{"and cards and addresses anywhere", append(masks[:4:4], edit.Rule{Action: edit.Mask, Presets: []string{edit.Card, edit.Email}}), "shop-api"},
	} {
		b.Run(x.name, func(b *testing.B) {
			e, s, w := compile(b, x.rules...), event(x.service, line), &edit.Work{}
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				e.Apply(w, s)
			}
		})
	}
}

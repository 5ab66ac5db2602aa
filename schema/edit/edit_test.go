package edit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
)

const secret = "0123456789abcdef0123"

func compile(t testing.TB, rules ...edit.Rule) *edit.Editor {
	t.Helper()
	r := edit.DefaultRules()
	r.HashSecret, r.Rules = secret, rules
	e, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// event is a line of a service as the default rules classify it.
func event(service, line string) *filter.Subject {
	c, err := schema.DefaultRules().Compile()
	if err != nil {
		panic(err)
	}
	return &filter.Subject{Event: &schema.Event{Line: []byte(line)}, Kind: c.Classify([]byte(line), nil, 0, 0).Kind, Service: service}
}

func hashOf(text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return "hmac:" + hex.EncodeToString(mac.Sum(nil))[:32]
}

func mask(paths ...string) edit.Rule { return edit.Rule{Action: edit.Mask, Paths: paths} }

func with(r edit.Rule, change func(*edit.Rule)) edit.Rule { change(&r); return r }

func TestMasksTakeTheValueAndNothingElse(t *testing.T) {
	hash := func(r edit.Rule) edit.Rule { r.With = edit.WithHash; return r }
	last := func(n int, r edit.Rule) edit.Rule { r.With, r.Last = edit.WithLast, n; return r }
	for name, c := range map[string]struct {
		rule       edit.Rule
		line, want string
	}{
		"a member":                                    {mask("email"), ` {"a":1 , "email" : "a@b.c","z":[ ] } `, ` {"a":1 , "email" : "***","z":[ ] } `},
		"a member that is not there":                  {mask("mail"), `{"email":"a@b.c"}`, `{"email":"a@b.c"}`},
		"a nested member":                             {mask("user.email"), `{"user":{"id":7,"email":"a"},"email":"b"}`, `{"user":{"id":7,"email":"***"},"email":"b"}`},
		"a name with a dot in it":                     {mask("user.email"), `{"user.email":"a","user":{"x.email":"b"}}`, `{"user.email":"***","user":{"x.email":"b"}}`},
		"what lies flat below a masked name":          {mask("user"), `{"user.email":"a","users":"b"}`, `{"user.email":"***","users":"b"}`},
		"each member of one name":                     {mask("e"), `{"e":"a","e":"b","e":{"e":1}}`, `{"e":"***","e":"***","e":"***"}`},
		"a name written with escapes":                 {mask("user.email"), `{"us\u0065r":{"\u0065mail":"a"}}`, `{"us\u0065r":{"\u0065mail":"***"}}`},
		"a dot written with an escape":                {mask("user.email"), `{"user\u002eemail":"a"}`, `{"user\u002eemail":"***"}`},
		"numbers, words and what is nested":           {mask("a", "b", "c", "d", "e"), `{"a":-1.5e3,"b":true,"c":{"x":[1]},"d":[1,2],"e":null}`, `{"a":"***","b":"***","c":"***","d":"***","e":null}`},
		"members of elements":                         {mask("items.email"), `{"items":[{"email":"a"},{"email":"b","n":1},3,[{"email":"c"}]]}`, `{"items":[{"email":"***"},{"email":"***","n":1},3,[{"email":"***"}]]}`},
		"a list of texts whole":                       {mask("emails"), `{"emails":["a","b"]}`, `{"emails":"***"}`},
		"a star within a name":                        {mask("*_token"), `{"a_token":"x","_token":"y","token":"z","b":{"c_token":"v"}}`, `{"a_token":"***","_token":"***","token":"z","b":{"c_token":"v"}}`},
		"two stars within a name":                     {mask("h.x-*-id*"), `{"h":{"x-a-id":"1","x-b-idem":2,"x-id":3}}`, `{"h":{"x-a-id":"***","x-b-idem":"***","x-id":3}}`},
		"a star for a name":                           {mask("user.*"), `{"user":{"a":1,"b":{"c":2}},"x":{"a":1}}`, `{"user":{"a":"***","b":"***"},"x":{"a":1}}`},
		"a name anywhere":                             {mask("**.password"), `{"password":"a","x":{"y":[{"password":{"z":1}}]},"passwords":1}`, `{"password":"***","x":{"y":[{"password":"***"}]},"passwords":1}`},
		"a name within one that is masked":            {mask("**.e"), `{"e":{"e":1,"x":2},"y":{"e":[{"e":3}]},"z":1}`, `{"e":"***","y":{"e":"***"},"z":1}`},
		"texts of several objects":                    {mask("a.b.c", "z.y.w"), `{"a":{"b":"{\"c\":1,\"w\":1}"},"z":{"y":{"w":2,"c":2}}}`, `{"a":{"b":"{\"c\":\"***\",\"w\":1}"},"z":{"y":{"w":"***","c":2}}}`},
		"names between":                               {mask("a.**.z"), `{"a":{"z":1,"b":{"z":2,"c":{"z":3}}},"z":4}`, `{"a":{"z":"***","b":{"z":"***","c":{"z":"***"}}},"z":4}`},
		"a path into JSON text":                       {mask("request_body.email"), `{"request_body":"{\"email\":\"a@b.c\",\"n\":[1, 2]}","email":"x"}`, `{"request_body":"{\"email\":\"***\",\"n\":[1, 2]}","email":"x"}`},
		"a path into a list in JSON text":             {mask("request_body.email"), `{"request_body":"[{\"email\":1}]"}`, `{"request_body":"[{\"email\":\"***\"}]"}`},
		"JSON text with every kind of escape":         {mask("b.e"), `{"b":"\u007b\"\\u0065\":\"\\\"x\\\"\",\"\/k\":\"\ud83d\ude00\\ud83d\\ude00 \ud800\u003c\",\"e\":2}"}`, `{"b":"\u007b\"\\u0065\":\"***\",\"\/k\":\"\ud83d\ude00\\ud83d\\ude00 \ud800\u003c\",\"e\":\"***\"}"}`},
		"JSON text in JSON text":                      {mask("a.b.c"), `{"a":"{\"b\":\"{\\\"c\\\":\\\"x\\\"}\"}"}`, `{"a":"{\"b\":\"{\\\"c\\\":\\\"***\\\"}\"}"}`},
		"a name anywhere in JSON text":                {mask("**.pin"), `{"message":"{\"x\":{\"pin\":1234}}"}`, `{"message":"{\"x\":{\"pin\":\"***\"}}"}`},
		"JSON text in a list":                         {mask("b.e"), `{"b":["{\"e\":1}","{\"f\":1}"]}`, `{"b":["{\"e\":\"***\"}","{\"f\":1}"]}`},
		"broken JSON text whole":                      {mask("**.email"), `{"body":"{\"email\":\"a@b","m":"[main] {} items"}`, `{"body":"***","m":"[main] {} items"}`},
		"a text where a path wants JSON":              {mask("body.email"), `{"body":"email=a","x":"email=b"}`, `{"body":"***","x":"email=b"}`},
		"no text where a path wants JSON":             {mask("body.email"), `{"body":"","x":{"body":"email=b"}}`, `{"body":"","x":{"body":"email=b"}}`},
		"hash":                                        {hash(mask("e", "n", "o")), `{"e":"a\u0040b","n":12.50,"o":{"x":[1]}}`, `{"e":"` + hashOf("a@b") + `","n":"` + hashOf("12.50") + `","o":"` + hashOf(`{"x":[1]}`) + `"}`},
		"hash in JSON text":                           {hash(mask("b.e")), `{"b":"{\"e\":\"a@b\"}"}`, `{"b":"{\"e\":\"` + hashOf("a@b") + `\"}"}`},
		"the last characters":                         {last(4, mask("a", "b", "c", "d")), `{"a":"4111 1111","b":1234567890,"c":"日本語日本語日本","d":[12345678]}`, `{"a":"***1111","b":"***7890","c":"***本語日本","d":"***"}`},
		"the last characters with escapes":            {last(2, mask("a")), `{"a":"xyz\"\\"}`, `{"a":"***\"\\"}`},
		"not more than half as last characters":       {last(4, mask("a", "b")), `{"a":"1234567","b":"12345678"}`, `{"a":"***","b":"***5678"}`},
		"a top-level list":                            {mask("email"), `[1,{"email":"a"}]`, `[1,{"email":"***"}]`},
		"plain text is left alone":                    {mask("email"), `[main] email=a {}`, `[main] email=a {}`},
		"a broken line whole":                         {mask("email"), `{"email":"a`, `***`},
		"a broken line whole, of another kind":        {with(mask("email"), func(r *edit.Rule) { r.Kinds, r.Levels = []string{"audit"}, []string{"ERROR"} }), `{"email":"a"} x`, `***`},
		"a broken line of another service":            {with(mask("email"), func(r *edit.Rule) { r.Services = []string{"web"} }), `{"email":"a`, `{"email":"a`},
		"a broken line may pass":                      {with(mask("email", "b.e"), func(r *edit.Rule) { r.OnUnparsed = edit.Pass }), `{"email":"a`, `{"email":"a`},
		"a broken text may pass":                      {with(mask("b.e"), func(r *edit.Rule) { r.OnUnparsed = edit.Pass }), `{"b":"{\"e\":1"}`, `{"b":"{\"e\":1"}`},
		"a line nested too deep":                      {mask("email"), `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, `***`},
		"the condition's kind":                        {with(mask("e"), func(r *edit.Rule) { r.Kinds = []string{"audit"} }), `{"e":1}`, `{"e":1}`},
		"the condition's level, behind the value":     {with(mask("e"), func(r *edit.Rule) { r.Levels = []string{"INFO"} }), `{"e":1,"level":"INFO"}`, `{"e":"***","level":"INFO"}`},
		"the condition's field in a masked object":    {with(mask("u"), func(r *edit.Rule) { r.Fields = []filter.Field{{Path: "u.r", Equals: []string{"admin"}}} }), `{"u":{"r":"admin"}}`, `{"u":"***"}`},
		"the condition's field beside a masked one":   {with(mask("u.m"), func(r *edit.Rule) { r.Fields = []filter.Field{{Path: "u.r", Equals: []string{"admin"}}} }), `{"u":{"m":1,"r":"admin"}}`, `{"u":{"m":"***","r":"admin"}}`},
		"the condition's field in what no mask means": {with(mask("m"), func(r *edit.Rule) { r.Fields = []filter.Field{{Path: "u.r", Equals: []string{"admin"}}} }), `{"u":{"r":"admin"},"m":1}`, `{"u":{"r":"admin"},"m":"***"}`},
		"no field of the condition":                   {with(mask("m"), func(r *edit.Rule) { r.Fields = []filter.Field{{Path: "u"}} }), `{"m":[{"u":1}]}`, `{"m":[{"u":1}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, compile(t, c.rule), c.line, c.want)
		})
	}
}

func check(t *testing.T, e *edit.Editor, line, want string) {
	t.Helper()
	r := e.Apply(&edit.Work{}, event("shop", line))
	if !r.Send || string(r.Line) != want {
		t.Errorf("got  %s\nwant %s", r.Line, want)
	}
	if json.Valid([]byte(line)) && !json.Valid(r.Line) && want != "***" {
		t.Errorf("%s is no JSON any more", r.Line)
	}
	if got := len(r.Changes) > 0; got != (line != want) {
		t.Errorf("changes told: %+v", r.Changes)
	}
}

func TestMasksFindWhatHidesInTexts(t *testing.T) {
	find := func(r edit.Rule) edit.Rule { r.Action = edit.Mask; return r }
	both := find(edit.Rule{Presets: []string{edit.Card, edit.Email}})
	for name, c := range map[string]struct {
		rule       edit.Rule
		line, want string
	}{
		"a card number":                           {both, `{"m":"paid by 4111111111111111, thanks"}`, `{"m":"paid by ***, thanks"}`},
		"a card number in groups":                 {both, `{"m":"2 x 4111 1111-1111 1111 12/26"}`, `{"m":"2 x *** 12/26"}`},
		"a card number of 19 digits":              {both, `{"m":"6304000000000000000!"}`, `{"m":"***!"}`},
		"a card number as a number":               {both, `{"m":[4111111111111111,17]}`, `{"m":["***",17]}`},
		"a card number with escapes":              {both, `{"m":"\u0034111\t4111111\u003111111111 é"}`, `{"m":"\u0034111\t*** é"}`},
		"no card number":                          {both, `{"m":"4111111111111112 1700000000000 41111111111111111111 4111"}`, `{"m":"4111111111111112 1700000000000 41111111111111111111 4111"}`},
		"an address":                              {both, `{"m":"<a.b+c@x-y.example.org>, foo@1a2b3c @x.yz"}`, `{"m":"<***>, foo@1a2b3c @x.yz"}`},
		"an address in a URL":                     {both, `{"m":"q?mail=a%40b.com&n=1"}`, `{"m":"***&n=1"}`},
		"an address with an escape":               {both, `{"m":"mail a\u0040b.com"}`, `{"m":"mail ***"}`},
		"an address in JSON text":                 {both, `{"m":"{\"to\":\"a\\u0040b.com\"}"}`, `{"m":"{\"to\":\"***\"}"}`},
		"addresses in lists and below":            {both, `{"m":["a@b.com",{"x":{"y":"c@d.org"}}]}`, `{"m":["***",{"x":{"y":"***"}}]}`},
		"names are no values":                     {both, `{"a@b.com":1}`, `{"a@b.com":1}`},
		"plain text":                              {both, `INFO a@b.com paid`, `INFO *** paid`},
		"a broken line without escapes":           {both, `{"m":"a@b.com`, `{"m":"***`},
		"a broken line with escapes, whole":       {both, `{"m":"a\u0040b.com`, `***`},
		"broken JSON text with escapes, whole":    {both, `{"m":"{\"a\":\"\\u0061@b.com"}`, `{"m":"***"}`},
		"broken JSON text without escapes":        {both, `{"m":"[\"a@b.com"}`, `{"m":"[\"***"}`},
		"only at a path, and below it":            {find(edit.Rule{Paths: []string{"m", "o"}, Presets: []string{edit.Email}}), `{"m":"a@b.com!","n":"a@b.com!","o":{"p":["to a@b.com"]}}`, `{"m":"***!","n":"a@b.com!","o":{"p":["to ***"]}}`},
		"a pattern":                               {find(edit.Rule{Patterns: []string{`order-\d+`}}), `{"m":"order-1, order-22","n":"order-"}`, `{"m":"***, ***","n":"order-"}`},
		"a pattern's group":                       {find(edit.Rule{Patterns: []string{`password=(\S+)`}}), `{"m":"user=a password=b\"c x"}`, `{"m":"user=a password=*** x"}`},
		"matches of two patterns that overlap":    {find(edit.Rule{Patterns: []string{`abc`, `cde`}}), `{"m":"_abcde_"}`, `{"m":"_***_"}`},
		"what is found, hashed":                   {find(edit.Rule{Presets: []string{edit.Email}, With: edit.WithHash}), `{"m":"to a@b.com"}`, `{"m":"to ` + hashOf("a@b.com") + `"}`},
		"the last digits of a card":               {find(edit.Rule{Presets: []string{edit.Card}, With: edit.WithLast}), `{"m":"4111111111111111"}`, `{"m":"***1111"}`},
		"a pattern behind bytes that are no text": {find(edit.Rule{Patterns: []string{`x`}}), "{\"m\":\"\xff\xfe\\\"x\\u00e9x\"}", "{\"m\":\"\xff\xfe\\\"***\\u00e9***\"}"},
		"a pattern among surrogates":              {find(edit.Rule{Patterns: []string{`b`}}), `{"m":"\ud800b\ud83d\ude00b\ude00b"}`, `{"m":"\ud800***\ud83d\ude00***\ude00***"}`},
	} {
		t.Run(name, func(t *testing.T) { check(t, compile(t, c.rule), c.line, c.want) })
	}
}

func TestTextsAreCutBeforeACharacter(t *testing.T) {
	long := strings.Repeat("x", 100)
	cut := func(n int64, paths ...string) edit.Rule {
		return edit.Rule{Action: edit.Truncate, Paths: paths, MaxBytes: n}
	}
	for name, c := range map[string]struct {
		rules      []edit.Rule
		line, want string
	}{
		"a text":                          {[]edit.Rule{cut(10, "m")}, `{"m":"` + long + `","n":"` + long + `"}`, `{"m":"xxxxxxxxxx[... 90 bytes cut]","n":"` + long + `"}`},
		"what the mark would make longer": {[]edit.Rule{cut(10, "m")}, `{"m":"` + long[:30] + `"}`, `{"m":"` + long[:30] + `"}`},
		"within a character":              {[]edit.Rule{cut(10, "m")}, `{"m":"` + strings.Repeat("日", 30) + `"}`, `{"m":"日日日[... 81 bytes cut]"}`},
		"escapes stay whole":              {[]edit.Rule{cut(5, "m")}, `{"m":"\"\u65e5\ud83d\ude00` + long + `"}`, `{"m":"\"\u65e5[... 104 bytes cut]"}`},
		"a raw line":                      {[]edit.Rule{cut(4)}, "日本" + long, "日[... 103 bytes cut]"},
		"a raw line by path":              {[]edit.Rule{cut(4, "m")}, long, long},
		"JSON without paths":              {[]edit.Rule{cut(4)}, `{"m":"` + long + `"}`, `{"m":"` + long + `"}`},
		"an object becomes a text":        {[]edit.Rule{cut(10, "o")}, `{"o":{"a":"` + long + `"}}`, `{"o":"{\"a\":\"xxxx[... 98 bytes cut]"}`},
		"the lower of two limits":         {[]edit.Rule{cut(20, "m"), cut(10, "*")}, `{"m":"` + long + `"}`, `{"m":"xxxxxxxxxx[... 90 bytes cut]"}`},
		"masks come first":                {[]edit.Rule{cut(10, "m"), {Action: edit.Mask, Presets: []string{edit.Email}}}, `{"m":"12345678a@bc.com ` + long + `"}`, `{"m":"*** xxxxxx[... 94 bytes cut]"}`},
		"a mask is not cut":               {[]edit.Rule{cut(10, "m"), {Action: edit.Mask, Presets: []string{edit.Email}}}, `{"m":"12345678 a@bc.com ` + long + `"}`, `{"m":"12345678 [... 104 bytes cut]"}`},
		"masks within come first":         {[]edit.Rule{cut(20, "o", "b"), mask("**.e")}, `{"o":{"e":"secret","x":"` + long + `"},"b":"{\"e\":\"secret\",\"x\":\"` + long + `\"}"}`, `{"o":"{\"e\":\"***\",\"x\":\"xxxx[... 98 bytes cut]","b":"{\"e\":\"***\",\"x\":\"xxxx[... 98 bytes cut]"}`},
	} {
		t.Run(name, func(t *testing.T) { check(t, compile(t, c.rules...), c.line, c.want) })
	}
}

func TestTheFirstDecidesAndAllOthersApply(t *testing.T) {
	debug := filter.Condition{Levels: []string{"<=DEBUG"}}
	e := compile(t,
		edit.Rule{Name: "errors", Action: edit.Keep, Condition: filter.Condition{Levels: []string{">=ERROR"}}},
		edit.Rule{Name: "health", Action: edit.Drop, Condition: filter.Condition{Fields: []filter.Field{{Path: "path", Equals: []string{"/health"}}}}},
		edit.Rule{Name: "debug", Action: edit.Sample, Rate: 0, Condition: debug},
		edit.Rule{Name: "mail", Action: edit.Mask, Paths: []string{"mail", "both"}, With: edit.WithHash},
		edit.Rule{Name: "all", Action: edit.Mask, Paths: []string{"both"}},
	)
	for name, c := range map[string]struct {
		line, want string
		rule       int
		changes    string
	}{
		"no rule":                      {`{"x":1}`, `{"x":1}`, -1, "[]"},
		"an exception before":          {`{"level":"error","path":"/health","mail":"a"}`, `{"level":"error","path":"/health","mail":"` + hashOf("a") + `"}`, 0, "[{3 masked 1 3}]"},
		"dropped, though it is masked": {`{"path":"/health","mail":"a"}`, "", 1, "[]"},
		"sampled away":                 {`{"level":"debug"}`, "", 2, "[]"},
		"stars win over the hash":      {`{"both":"a"}`, `{"both":"***"}`, -1, "[{3 masked 1 3} {4 masked 1 3}]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := e.Apply(&edit.Work{}, event("shop", c.line))
			if r.Send != (c.want != "") || r.Send && string(r.Line) != c.want || r.Rule != c.rule || fmt.Sprint(r.Changes) != c.changes {
				t.Errorf("got %s, %+v", r.Line, r)
			}
		})
	}
}

func TestSamplesChooseAsFilterDoes(t *testing.T) {
	e := compile(t, edit.Rule{Action: edit.Sample, Rate: 0.3, Key: []string{"trace"}}, mask("trace"))
	f, err := filter.Rules{Rules: []filter.Rule{{Action: filter.Sample, Rate: 0.3, Key: []string{"trace"}}}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	w, sent := &edit.Work{}, 0
	for i := range 1000 {
		s := event("shop", fmt.Sprintf(`{"trace":"t-%d"}`, i))
		r := e.Apply(w, s)
		if r.Send != f.Judge(s).Send {
			t.Fatalf("%s: sent is %v", s.Event.Line, r.Send)
		}
		if r.Send {
			sent++
		}
	}
	if sent < 250 || sent > 350 {
		t.Errorf("%d of 1000 sent", sent)
	}
}

// TestHashesStayTheSame: what was hashed by one version is compared with what the next
// one hashes.
func TestHashesStayTheSame(t *testing.T) {
	check(t, compile(t, with(mask("e"), func(r *edit.Rule) { r.With = edit.WithHash })), `{"e":"a@b.com"}`, `{"e":"hmac:2bce99327f35669d8be8d71fdd253fe6"}`)
}

func TestATornLineIsMaskedWhole(t *testing.T) {
	for name, c := range map[string]struct {
		rule edit.Rule
		want string
	}{
		"by a path":                    {mask("email"), "***"},
		"of another kind":              {with(mask("email"), func(r *edit.Rule) { r.Kinds = []string{"audit"} }), "***"},
		"not, if it may pass":          {with(mask("email"), func(r *edit.Rule) { r.OnUnparsed = edit.Pass }), `mail":"a@b.com"}`},
		"but what is found without":    {edit.Rule{Action: edit.Mask, Presets: []string{edit.Email}}, `mail":"***"}`},
		"and what is found of a kind":  {edit.Rule{Action: edit.Mask, Presets: []string{edit.Email}, Condition: filter.Condition{Kinds: []string{"audit"}}}, `mail":"***"}`},
		"not of another kind, if pass": {edit.Rule{Action: edit.Mask, Presets: []string{edit.Email}, OnUnparsed: edit.Pass, Condition: filter.Condition{Kinds: []string{"audit"}}}, `mail":"a@b.com"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := event("shop", `mail":"a@b.com"}`)
			s.Event.Flags = schema.FlagIncomplete
			if r := compile(t, c.rule).Apply(&edit.Work{}, s); string(r.Line) != c.want {
				t.Errorf("got %s", r.Line)
			}
		})
	}
}

func TestAHashThatBlowsALineUpMasksItWhole(t *testing.T) {
	line := `{"a":[` + strings.Repeat(`{"x":1},`, 20_000) + `1]}`
	check(t, compile(t, with(mask("a.x"), func(r *edit.Rule) { r.With = edit.WithHash })), line, `{"masked":"***"}`)
}

func TestAWorkIsAsGoodAsNewAfterEachLine(t *testing.T) {
	e := compile(t, mask("**.e"), edit.Rule{Action: edit.Truncate, Paths: []string{"m"}, MaxBytes: 8}, edit.Rule{Action: edit.Mask, Presets: []string{edit.Email, edit.Card}})
	lines := []string{
		`{"e":1,"m":"` + strings.Repeat("y", 90) + `"}`, `{"e":`, `plain a@b.com`, `{"b":"{\"e\":\"{\\\"e\\\":1}\",\"x\":\"a@b.com\"}"}`, `{}`, `[{"e":1}]`, `{"a":1}`,
		`{"b":"` + strings.Repeat(`{\"e\":1,\"x\":`, 40) + `1` + strings.Repeat("}", 40) + `"}`, `{"big":"` + strings.Repeat(`a@b.com `, 50_000) + `"}`,
	}
	w := &edit.Work{}
	for range 3 {
		for _, line := range lines {
			got, want := string(e.Apply(w, event("s", line)).Line), string(e.Apply(&edit.Work{}, event("s", line)).Line)
			if got != want {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		}
	}
}

func TestNoRulesAreNoEditor(t *testing.T) {
	e := compile(t)
	s := event("shop", `{"a":1}`)
	if r := e.Apply(&edit.Work{}, s); e != nil || !r.Send || &r.Line[0] != &s.Event.Line[0] || len(e.Names())+len(e.Actions()) != 0 {
		t.Fatalf("%v, %+v", e, r)
	}
}

func TestFaultsAreAllTold(t *testing.T) {
	for want, rule := range map[string]edit.Rule{
		`rules[0].action: "msk" must be keep, drop, sample, truncate, mask, did you mean "mask"`: {Action: "msk"},
		`rules[0].paths: are missing, and so are presets and patterns: what is to be masked`:     {Action: edit.Mask},
		`rules[0].rate: 2 must be from 0 to 1`:                                                   {Action: edit.Sample, Rate: 2},
		`rules[0].rate: is for the action sample alone`:                                          {Action: edit.Drop, Rate: 0.5},
		`rules[0].paths: is for the action truncate or mask alone`:                               {Action: edit.Drop, Paths: []string{"a"}},
		`rules[0].max_bytes: 0 must be from 1 to 1 GiB`:                                          {Action: edit.Truncate, Paths: []string{"a"}},
		`rules[0].paths: are missing: without them only lines of kind raw are cut`:               {Action: edit.Truncate, MaxBytes: 9, Condition: filter.Condition{Kinds: []string{"app"}}},
		`rules[0].paths[0]: "a.**" must end in a name: ** stands for those before it`:            mask("a.**"),
		`rules[0].paths[0]: "a**" must end`:                                                      mask("a**.x", "a"),
		`rules[0].paths[1]: "" must be a path of 1 to 256 bytes of UTF-8`:                        mask("a", ""),
		`rules[0].with: "hush" must be stars or hash or last, did you mean "hash"`:               {Action: edit.Mask, Paths: []string{"a"}, With: "hush"},
		`rules[0].last: 99 must be from 1 to 16, and is for with: last alone`:                    {Action: edit.Mask, Paths: []string{"a"}, With: edit.WithLast, Last: 99},
		`rules[0].presets[0]: "cards" must be card or email, did you mean "card"`:                {Action: edit.Mask, Presets: []string{"cards"}},
		"rules[0].patterns[0]: error parsing regexp: missing closing ): `(a`":                    {Action: edit.Mask, Patterns: []string{"(a"}},
		`rules[0].patterns[0]: has 2 groups, at most one: make the others (?:…)`:                 {Action: edit.Mask, Patterns: []string{"(a)(b)"}},
		`rules[0].on_unparsed: "drop" must be mask_line or pass`:                                 {Action: edit.Mask, Paths: []string{"a"}, OnUnparsed: "drop"},
		`rules[0].kinds[0]: "audits" must be raw, app, audit, did you mean "audit"`:              {Action: edit.Drop, Condition: filter.Condition{Kinds: []string{"audits"}}},
		`rules[0].with: hash needs hash_secret or hash_secret_file`:                              {Action: edit.Mask, Paths: []string{"a"}, With: edit.WithHash},
	} {
		rules := edit.DefaultRules()
		rules.Rules = []edit.Rule{rule}
		err := rules.Validate()
		if want == `rules[0].paths[0]: "a**" must end` {
			want = `rules[0].paths[0]: "a**.x": ** must be a name of its own`
		}
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	rules := edit.DefaultRules()
	rules.HashSecret = "short"
	rules.Rules = []edit.Rule{{Name: "x", Action: edit.Drop}, {Name: "x", Action: edit.Drop}, mask("")}
	if err := rules.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), `rules[1].name: "x" is that of rules[0]`) {
		t.Errorf("got %v", err)
	}
}

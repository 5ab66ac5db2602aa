package kinesis

import (
	"reflect"
	"testing"
)

// The quick way of reading a request may refuse what it likes, but what it takes it must read as encoding/json does.
func FuzzPutRecordsJSON(f *testing.F) {
	for _, seed := range []string{
		`{"Records":[{"Data":"aGk=","PartitionKey":"k"},{"Data":"","PartitionKey":"é","ExplicitHashKey":"7"}],"StreamName":"s"}`,
		` { "StreamARN" : "a" , "Records" : [ { "PartitionKey" : "k" } ] } `,
		`{"Records":[{"Data":"aGk","PartitionKey":"k"}]}`, `{"Records":[{"Data":"aG\nk=","PartitionKey":"k"}]}`,
		`{"Records":[{"Data":"aGk=","Data":"eA=="}],"Records":[{}]}`, `{"Records":[{"PartitionKey":"\u00e9"}]}`,
		`{"records":[]}`, `{"Records":[]}`, `{"Records":null}`, `{}`, `{"StreamName":"a"}{}`, "{\"StreamName\":\"\xff\"}", "{\"StreamName\":\"a\nb\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := plainJSON{rest: body, arena: make([]byte, 0, len(body))}
		quick, ok := p.request()
		if !ok {
			return
		}
		var thorough putRecordsInput
		if err := decode(body, &thorough); err != nil {
			t.Fatalf("the quick way takes what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(quick, thorough) {
			t.Errorf("the quick way reads %+v, encoding/json %+v", quick, thorough)
		}
	})
}

func TestThePlainFormIsReadTheQuickWay(t *testing.T) {
	body := []byte(`{"Records":[{"Data":"aGk=","ExplicitHashKey":"5","PartitionKey":"k"}],"StreamName":"s"}`)
	p := plainJSON{rest: body, arena: make([]byte, 0, len(body))}
	if in, ok := p.request(); !ok || string(in.Records[0].Data) != "hi" {
		t.Errorf("got %+v, %t", in, ok)
	}
}

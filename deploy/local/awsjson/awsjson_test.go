package awsjson_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"tributary/deploy/local/awsjson"
)

func TestARequestIsReadStrictly(t *testing.T) {
	for body, code := range map[string]string{
		`{"name":"x"}`:   "",
		`{"other":1}`:    "Unsupported",
		`{"name":1}`:     "SerializationException",
		`{"name":"x"} 1`: "SerializationException",
		``:               "SerializationException",
	} {
		var in struct{ Name string }
		err := awsjson.Decode([]byte(body), &in, "Unsupported")
		var refused *awsjson.Error
		if errors.As(err, &refused) != (code != "") || code != "" && refused.Code != code {
			t.Errorf("%s: got %v, want %s", body, err, code)
		}
	}
}

func TestABodyIsHeldToItsLimit(t *testing.T) {
	for _, announced := range []int64{-1, 0, 5, 1 << 40} {
		if body, err := awsjson.ReadBody(strings.NewReader("12345"), announced, 5, "TooLarge"); err != nil || string(body) != "12345" {
			t.Errorf("announced %d: %q, %v", announced, body, err)
		}
		if _, err := awsjson.ReadBody(strings.NewReader("123456"), announced, 5, "TooLarge"); err == nil || !strings.HasPrefix(err.Error(), "TooLarge") {
			t.Errorf("announced %d, a byte more: %v", announced, err)
		}
	}
}

func TestErrorsAreTheServicesOrTheEndpoints(t *testing.T) {
	for want, err := range map[string]error{
		`400 {"__type":"Code","message":"text 1"}`:                                        fmt.Errorf("wrapped: %w", awsjson.Refuse("Code", "text %d", 1)),
		`500 {"__type":"InternalFailure","message":"the local endpoint failed: no disk"}`: errors.New("no disk"),
	} {
		w := httptest.NewRecorder()
		awsjson.WriteError(w, err)
		if got := fmt.Sprint(w.Code, " ", w.Body); got != want || w.Header().Get("X-Amzn-Errortype") == "" {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzToken(f *testing.F) {
	sealed := awsjson.SealToken(1, "x")
	f.Add(sealed)
	f.Add("")
	f.Add(sealed[:len(sealed)-1])
	f.Fuzz(func(t *testing.T, token string) {
		var content string
		if err := awsjson.OpenToken(token, 1, &content); err == nil {
			var again string
			if err := awsjson.OpenToken(awsjson.SealToken(1, content), 1, &again); err != nil || again != content {
				t.Errorf("%q was sealed and became %q, %v", content, again, err)
			}
		}
		if err := awsjson.OpenToken(token, 2, &content); err == nil && token == sealed {
			t.Error("a token of one kind was taken for another")
		}
	})
}

package localtest

import (
	"io"
	"net/http"
)

// PlainBodies hides the WriteTo method of request bodies from next.
//
// The SDK closes a request's body as soon as the answer's header is there. When net/http has written the body's announced length it
// still looks for the body's end, by io.Copy. In smithy-go v1.28.8 a closed body answers io.EOF from WriteTo (io.WriterTo wants nil
// at the end; from Read, io.EOF is right). Whenever the answer is faster than that look, net/http takes the io.EOF for a failed
// write and cuts the connection under the answer, and the client sees "use of closed network connection" for a call that was done.
func PlainBodies(next http.RoundTripper) http.RoundTripper { return plainBodies{next} }

type plainBodies struct{ next http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.RoundTrip(r)
}

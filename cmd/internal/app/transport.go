package app

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// plainBodies hides the WriteTo method of request bodies from next.
//
// The SDK closes a request's body as soon as the answer's header is there. When
// net/http has written the body's announced length it still looks for the body's
// end, by io.Copy. In smithy-go v1.28.8 a closed body answers io.EOF from WriteTo,
// where io.WriterTo wants nil. Whenever the answer is faster than that look,
// net/http takes the io.EOF for a failed write and cuts the connection under the
// answer: a call that was done seems to have failed, and is made again.
type plainBodies struct{ next aws.HTTPClient }

// Do makes the request.
func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.Do(r)
}

// receiveBuffer is what a connection by HTTP/2 holds of an answer that nobody reads:
// of a pushed shard (enhanced fan-out) that has no room for more. It lies outside
// read_bytes, and Go's own is 4 MiB. AWS' KCL has the same as here: at 100 ms from the
// service it lets 5 MB/s through, more than twice what a shard gives.
const receiveBuffer = 512 << 10

func boundReceiveBuffer(t *http.Transport) {
	t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: receiveBuffer}
}

// withTransport readies the client of cfg. It comes after loading: the SDK must
// still be able to build its own client, with the roots of AWS_CA_BUNDLE.
func withTransport(cfg aws.Config) aws.Config {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	if own, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = own.WithTransportOptions(boundReceiveBuffer)
	}
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	return cfg
}

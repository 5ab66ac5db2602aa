package contract_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"tributary/deploy/local/localtest"
)

const (
	// serversVariable names the directory with the node_modules and bin of the servers that others wrote.
	serversVariable = "TRIBUTARY_CONTRACT_SERVERS"
	// awsVariable allows the suite to use a real account.
	awsVariable = "TRIBUTARY_AWS_CONTRACT"

	// versitygw checks signatures and takes the key for the account, the others take any.
	accessKey, secretKey = localAccount, "contract-secret"
	// localAccount is the account in the ARNs of servers on this machine.
	localAccount = "000000000000"
)

// A server is one implementation under judgement. start makes it ready until t ends, or skips t.
type server struct {
	name     string
	patience time.Duration // for one case
	start    func(t *testing.T) aws.Config
}

var (
	localServer  = server{"local", localPatience, startLocal}
	kinesisLocal = server{"kinesis-local", localPatience, startKinesisLocal}
	dynalite     = server{"dynalite", localPatience, startDynalite}
	versitygw    = server{"versitygw", localPatience, startVersitygw}
	awsServer    = server{"aws", 15 * time.Minute, startAWS}
)

func startLocal(t *testing.T) aws.Config {
	cfg := localtest.Start(t).AWS
	cfg.RetryMaxAttempts = 1 // a retry would hide a fault
	return cfg
}

// installed gives the path of something that make test-contract installs.
func installed(t *testing.T, path ...string) string {
	t.Helper()
	dir := os.Getenv(serversVariable)
	if dir == "" {
		t.Skipf("%s is not set: make test-contract installs the servers and sets it", serversVariable)
	}
	full, err := filepath.Abs(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%s names a directory without this server: %v", serversVariable, err)
	}
	return full
}

// reach is the configuration for a server on a port of this machine.
func reach(t *testing.T, port int) aws.Config {
	// A transport of its own: a shared one would keep connections, and their goroutines, beyond the test.
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region:                     "us-east-1",
		BaseEndpoint:               aws.String(fmt.Sprintf("http://127.0.0.1:%d", port)),
		Credentials:                credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		HTTPClient:                 &http.Client{Transport: localtest.PlainBodies(transport)},
		RetryMaxAttempts:           1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
}

func startKinesisLocal(t *testing.T) aws.Config {
	main := installed(t, "node_modules", "kinesis-local", "main.js")
	port := startProcess(t, func(ports []int) command {
		return command{
			name: "node",
			args: []string{main},
			env: []string{
				// It dies without its certificate, which it looks for in the working directory, and always opens both ports.
				"KINESIS_MOCK_CERT_PATH=" + filepath.Join(filepath.Dir(main), "server.json"),
				fmt.Sprintf("KINESIS_MOCK_PLAIN_PORT=%d", ports[0]),
				fmt.Sprintf("KINESIS_MOCK_TLS_PORT=%d", ports[1]),
				"CREATE_STREAM_DURATION=20ms", "DELETE_STREAM_DURATION=20ms", "SPLIT_SHARD_DURATION=20ms", "MERGE_SHARDS_DURATION=20ms",
				// Longer, so that a case sees it while it goes on.
				"UPDATE_SHARD_COUNT_DURATION=300ms", "REGISTER_STREAM_CONSUMER_DURATION=20ms", "DEREGISTER_STREAM_CONSUMER_DURATION=20ms", "SHARD_LIMIT=1000", "LOG_LEVEL=ERROR",
			},
		}
	})
	return reach(t, port)
}

func startDynalite(t *testing.T) aws.Config {
	main := installed(t, "node_modules", "dynalite", "cli.js")
	port := startProcess(t, func(ports []int) command {
		return command{name: "node", args: []string{main, "--host", "127.0.0.1", "--port", fmt.Sprint(ports[0]), "--createTableMs", "20", "--deleteTableMs", "20"}}
	})
	return reach(t, port)
}

func startVersitygw(t *testing.T) aws.Config {
	program, buckets := installed(t, "bin", "versitygw"), t.TempDir()
	port := startProcess(t, func(ports []int) command {
		return command{
			name: program,
			args: []string{"--port", fmt.Sprintf("127.0.0.1:%d", ports[0]), "--keep-alive", "--quiet", "posix", buckets},
			env:  []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		}
	})
	return reach(t, port)
}

func startAWS(t *testing.T) aws.Config {
	if os.Getenv(awsVariable) != "1" {
		t.Skipf("%s is not 1: it would use a real account", awsVariable)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The buildable client is what AWS_CA_BUNDLE is applied to; its connections are only to be closed in a transport of our own.
	client, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	transport := client.GetTransport()
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HTTPClient = &http.Client{Transport: localtest.PlainBodies(transport)}
	cfg.RetryMaxAttempts = 10 // the account's rates for making things are few a second
	return cfg
}

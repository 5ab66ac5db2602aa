package cluster

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
)

// A Cluster is the product's processes over one directory, one stream and one
// bucket. Its methods only describe processes; nothing runs before their Start.
type Cluster struct {
	Binary string // as Build returns it
	Dir    string // of the endpoints and of everything else
	AWS    string // host:port of the endpoints
}

// New describes a cluster on a free port.
func New(binary, dir string) (*Cluster, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	return &Cluster{Binary: binary, Dir: dir, AWS: addr}, nil
}

// A Node is a process of the product.
type Node struct {
	Process
	Forward string // host:port of the Forward listener; empty when it has none
	Admin   string // host:port of metrics
}

// Endpoints are the embedded AWS services in a process of their own, with stream
// and bucket. args are added to the command line.
func (c *Cluster) Endpoints(args ...string) (*Node, error) {
	return c.node("endpoints", false, append([]string{"local", "--endpoints-only", "--dir", c.DataDir(), "--set", "local.listen=" + c.AWS}, args...))
}

// Local is everything in one process.
func (c *Cluster) Local(args ...string) (*Node, error) {
	return c.node("local", true, append([]string{"local", "--dir", c.DataDir(), "--set", "local.listen=" + c.AWS}, args...))
}

// Forwarder has its spool in a directory of its name.
func (c *Cluster) Forwarder(name string, args ...string) (*Node, error) {
	return c.node(name, true, append([]string{"forward", "--set", "forward.spool.dir=" + filepath.Join(c.Dir, name)}, args...))
}

// LakeWorker reads the stream into the bucket.
func (c *Cluster) LakeWorker(name string, args ...string) (*Node, error) {
	return c.node(name, false, append([]string{"consume", "lake", "--bucket", "tributary"}, args...))
}

// RealtimeWorker reads the stream into log groups.
func (c *Cluster) RealtimeWorker(name string, args ...string) (*Node, error) {
	return c.node(name, false, append([]string{"consume", "realtime", "--bucket", "tributary"}, args...))
}

// TreasureDataWorker imports the stream into the endpoints' Treasure Data.
func (c *Cluster) TreasureDataWorker(name string, args ...string) (*Node, error) {
	endpoint := "http://" + c.AWS
	return c.node(name, false, append([]string{
		"consume", "treasuredata", "--bucket", "tributary", "--set", "treasuredata.api_key=1/local",
		"--set", "treasuredata.api_endpoint=" + endpoint, "--set", "treasuredata.import_endpoint=" + endpoint,
	}, args...))
}

// DataDir is where the endpoints keep their state.
func (c *Cluster) DataDir() string { return filepath.Join(c.Dir, "data") }

// LakeDir is where the lake's objects lie.
func (c *Cluster) LakeDir() string { return filepath.Join(c.DataDir(), "s3", "tributary", "lake") }

func (c *Cluster) node(name string, forwards bool, args []string) (*Node, error) {
	admin, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	n := &Node{Admin: admin, Process: Process{Name: name, Path: c.Binary, Env: c.Env()}}
	n.Args = append(args, "--log-format", "text", "--set", "admin.listen="+admin)
	n.Ready = func() bool { return n.healthy() }
	if forwards {
		if n.Forward, err = FreeAddr(); err != nil {
			return nil, err
		}
		n.Args = append(n.Args, "--set", "forward.server.listen=tcp://"+n.Forward)
		n.Ready = func() bool { return n.healthy() && Listens(n.Forward) }
	}
	return n, nil
}

// Env points the AWS SDK at the endpoints.
func (c *Cluster) Env() []string {
	return []string{"AWS_ENDPOINT_URL=http://" + c.AWS, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_CA_BUNDLE="}
}

func (n *Node) healthy() bool {
	resp, err := http.Get("http://" + n.Admin + "/healthz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Listens reports whether somebody takes connections at addr.
func Listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func (n *Node) String() string { return fmt.Sprintf("%s (metrics %s)", n.Name, n.Admin) }

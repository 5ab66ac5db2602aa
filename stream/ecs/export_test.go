package ecs

import (
	"context"
	"net"
	"net/http"
)

// Dial replaces the network.
func (a *Agent) Dial(dial func(context.Context, string, string) (net.Conn, error)) {
	a.client.Transport.(*http.Transport).DialContext = dial
}

// Remembered is of how many containers something is remembered.
func (a *Agent) Remembered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known)
}

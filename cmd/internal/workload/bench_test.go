package workload_test

import (
	"io"
	"net"
	"testing"

	"tributary/cmd/internal/workload"
)

// BenchmarkSend is a sender with a receiver that throws everything away: what the
// generator costs beside the system under test, both ends of the socket included.
func BenchmarkSend(b *testing.B) {
	for name, batch := range map[string]int64{"write per message": 0, "64 KiB batches": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
				}
			}()
			c := workload.DefaultConfig()
			c.Address, c.Ack, c.BatchBytes, c.Count = "tcp://"+ln.Addr().String(), false, batch, int64(b.N)
			s, err := workload.NewSender(c, newLines(1).Sized(500))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			s.Run(b.Context())
		})
	}
}

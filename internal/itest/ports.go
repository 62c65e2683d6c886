package itest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken below the kernel's ephemeral range (32768 and up on Linux), so that no outgoing connection of a test that
// runs at the same time can take a port between its choice and the server's bind.
const (
	firstPort = 20000
	lastPort  = 31999
	portTries = 200
)

// ports remembers what this process has handed out, for servers that are down at the moment keep their ports.
var ports = struct {
	sync.Mutex
	taken map[string]bool
}{taken: map[string]bool{}}

// FreeAddress returns "host:port" with a port on which nothing listened a moment ago and that this process has not handed
// out before. host is a loopback address.
func FreeAddress(host string) (string, error) {
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("choose port on %q: not a loopback address", host)
	}
	ports.Lock()
	defer ports.Unlock()
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		if ports.taken[addr] {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("release port %s: %w", addr, err)
		}
		ports.taken[addr] = true
		return addr, nil
	}
	return "", fmt.Errorf("choose port on %s: none of %d tried was free", host, portTries)
}

// What a check costs in Go at the least: net/http, the cookie, SHA-256, a map look-up, and the fields of an answer.
// Nothing is refused for a reason, ends, or is written to a log.
//
//	forward LISTEN COOKIE TOKENS, where LISTEN is tcp:HOST:PORT or unix:PATH, and TOKENS a file with one a line
package main

import (
	"bufio"
	"crypto/sha256"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type person struct{ subject, name string }

func main() {
	runtime.GOMAXPROCS(1)
	listen, cookie := os.Args[1], os.Args[2]
	known := map[[32]byte]person{}
	file, err := os.Open(os.Args[3])
	if err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		number := strconv.Itoa(len(known))
		known[sha256.Sum256([]byte(lines.Text()))] = person{"0192d3f4-7a1b-7c3d-8e9f-000000000" + number, "person" + number}
	}
	handler := http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if sent, err := request.Cookie(cookie); err == nil {
			if who, ok := known[sha256.Sum256([]byte(sent.Value))]; ok {
				fields := answer.Header()
				fields.Set("Remote-Subject", who.subject)
				fields.Set("Remote-User", who.name)
				fields.Set("Cache-Control", "no-store")
				answer.WriteHeader(http.StatusOK)
				return
			}
		}
		answer.WriteHeader(http.StatusUnauthorized)
	})
	kind, address, _ := strings.Cut(listen, ":")
	listener, err := net.Listen(kind, address)
	if err != nil {
		panic(err)
	}
	if kind == "unix" {
		if err := os.Chmod(address, 0o666); err != nil {
			panic(err)
		}
	}
	panic(http.Serve(listener, handler))
}

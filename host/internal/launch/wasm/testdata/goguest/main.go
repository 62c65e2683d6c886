// Command goguest is the module on which package wasm is tested. The text of an
// event, or the name of a command, tells it what to do.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"bridgehost/sdk/guest"
)

var (
	sink  [][]byte
	calls int
)

func init() {
	guest.Register(guest.Handlers{Open: open, Filter: filter, Command: command, Run: run, Timer: timer, Deliver: deliver, Web: serve,
		Routes: []guest.WebRoute{{Prefix: "/guest", Methods: []string{"POST"}, MaxBody: 1000}}})
}

func main() {}

func open(c guest.Config) error {
	if strings.Contains(string(c.JSON()), "refuse") {
		return &guest.Error{Kind: guest.Invalid, Text: "configuration refused"}
	}
	return nil
}

func filter(e guest.Event) guest.Verdict {
	it, ok := e.Item()
	if !ok {
		return guest.Pass()
	}
	calls++
	word, rest, _ := strings.Cut(it.Text().Plain(), " ")
	switch word {
	case "shout":
		return e.Patch().SetText(strings.ToUpper(rest)).AddTag("loud").Verdict()
	case "mark":
		return e.Patch().SetText("marked").AddTag("seen").Verdict()
	case "tags":
		return e.Patch().SetTags(strings.Fields(rest)...).SetTitle("").SetVisibility(1).Verdict()
	case "drop":
		return guest.Drop("word\n\x1b[31m" + rest)
	case "hold":
		return guest.Hold(time.Now().Add(time.Hour), "later")
	case "emit":
		v := guest.Pass()
		for i := range len(rest) {
			v = v.Emit(guest.NewEvent{Place: e.Place().ID(), Dedup: fmt.Sprint("d", i), Text: "emitted", ID: fmt.Sprint("i", i)})
		}
		return v
	case "emit10000":
		v := guest.Pass()
		for i := range 10_000 {
			v = v.Emit(guest.NewEvent{Place: "p", Text: "x", Dedup: fmt.Sprint(i)})
		}
		return v
	case "calls":
		return e.Patch().SetText(fmt.Sprint(calls)).Verdict()
	case "publish":
		if err := guest.Publish(guest.NewEvent{Place: "p"}); err != nil {
			return guest.Drop(err.Error())
		}
	default:
		hostile(word)
	}
	return guest.Pass()
}

func hostile(word string) {
	switch word {
	case "loop":
		for {
		}
	case "bomb":
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	case "recurse":
		recurse(1)
	case "panic":
		panic("on purpose")
	case "exit":
		os.Exit(3)
	case "print":
		for {
			fmt.Println("spam\x1b[2J")
		}
	case "flood":
		for {
			guest.Now()
		}
	case "sleep":
		time.Sleep(time.Hour)
	}
}

//go:noinline
func recurse(n int) int { return recurse(n+1) + recurse(n+2) }

func command(c guest.Invocation) (string, error) {
	args := append(c.Args(), "", "")
	switch c.Name() {
	case "kv":
		if err := guest.Set(args[0], []byte(args[1])); err != nil {
			return "", err
		}
		v, err := guest.Get(args[0])
		if err != nil {
			return "", err
		}
		keys, err := guest.Keys("", "")
		return fmt.Sprint(string(v), keys), err
	case "get":
		v, err := guest.Get(args[0])
		return fmt.Sprintf("%q", v), err
	case "secret":
		return guest.Secret(args[0])
	case "fetch":
		r, err := guest.Fetch(guest.HTTPRequest{URL: args[0], Header: map[string]string{"X-Test": "1"}})
		return fmt.Sprint(r.Status, " ", r.Header("Content-Type"), " ", string(r.Body)), err
	case "log":
		guest.Log(guest.Warn, args[0])
		return "", nil
	case "count":
		return "", guest.Count(args[0], 2)
	case "publish":
		return "", guest.Publish(guest.NewEvent{Place: args[0], Text: "hello", Dedup: "k", Actor: guest.NewActor{ID: "me"}, ID: "1"})
	case "timer":
		return "", guest.SetTimer(7, time.Second)
	case "fail":
		return "", &guest.Error{Kind: guest.NotFound, Text: "nothing", Public: "sorry"}
	case "random":
		return fmt.Sprint(time.Now().UnixNano(), " ", guest.Now().UnixNano()), nil
	default:
		hostile(c.Name())
	}
	return "", nil
}

func run() error {
	guest.Log(guest.Info, "running")
	return nil
}

func timer(id uint32) error {
	return guest.Publish(guest.NewEvent{Place: "timer", Text: fmt.Sprint(id), Dedup: "t"})
}

func deliver(batch []guest.Delivery) []guest.Receipt {
	var out []guest.Receipt
	for _, d := range batch {
		it, _ := d.Event().Item()
		switch it.Text().Plain() {
		case "refuse":
			out = append(out, guest.Receipt{Delivery: d.ID(), Err: &guest.Error{Kind: guest.Forbidden, Text: "no"}, Unsent: true})
		case "forget":
		default:
			out = append(out, guest.Receipt{Delivery: d.ID(), Copies: []guest.Copy{{Item: it.ID(), Remote: "r-" + d.ID()}}, Lost: map[string]string{"media": "none here"}})
		}
	}
	return out
}

func serve(r guest.WebRequest) (guest.WebResponse, error) {
	return guest.WebResponse{Status: 201, Header: map[string]string{"X-Path": r.Path()}, Body: []byte(r.Method() + " " + r.Header("X-A") + " " + string(r.Body()))}, nil
}

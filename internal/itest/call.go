package itest

import (
	"encoding/json"
	"fmt"
	"time"
)

// answer is the result of a call, or why there is none.
type answer struct {
	result  json.RawMessage
	refusal *Refusal
	err     string
	xml     string
}

// args are the arguments of a command.
type args map[string]any

// call has the program carry out a command that is answered, and decodes the answer into result if that is not nil. Events
// that come meanwhile stay for the next wait. A stanza error is returned as a *Refusal.
func (c *Client) call(op string, a args, result any) error {
	c.t.Helper()
	c.ids++
	number := c.ids
	command := args{"op": op, "call": number}
	for key, value := range a {
		if value != nil {
			command[key] = value
		}
	}
	c.send(command)
	got, err := c.answerTo(number)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", op, err)
	case got.refusal != nil:
		return fmt.Errorf("%s: %w", op, got.refusal)
	case got.err != "":
		return fmt.Errorf("%s: %s", op, got.err)
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(got.result, result); err != nil {
		return fmt.Errorf("%s: decode answer %s: %w", op, got.result, err)
	}
	return nil
}

// answerTo waits for the answer to a call.
func (c *Client) answerTo(number int) (answer, error) {
	timer := time.NewTimer(WaitTimeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		got, found := c.answers[number]
		delete(c.answers, number)
		more, ended := c.more, c.ended
		c.mu.Unlock()
		if found {
			return got, nil
		}
		if ended {
			return answer{}, fmt.Errorf("the client has ended")
		}
		select {
		case <-more:
		case <-timer.C:
			return answer{}, fmt.Errorf("no answer after %v", WaitTimeout)
		}
	}
}

// must ends the test when a call has failed.
func (c *Client) must(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.JID, what, err)
	}
}

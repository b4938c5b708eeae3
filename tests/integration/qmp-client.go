// SPDX-License-Identifier: LGPL-2.1-or-later

// For qmp.py: updates a minivmm by go-qemu's client, again and again under one connection. The
// arguments are QMP's socket and a cpr-exec-command for each update, as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

type message struct {
	Execute   string      `json:"execute"`
	Arguments interface{} `json:"arguments,omitempty"`
}

func run(monitor qmp.Monitor, command string, arguments interface{}) []byte {
	text, err := json.Marshal(message{command, arguments})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := monitor.Run(text)
	if err != nil {
		log.Fatalf("%s: %v", command, err)
	}
	return answer
}

func waitFor(events <-chan qmp.Event, name string) {
	for {
		select {
		case event := <-events:
			if event.Event == name {
				return
			}
		case <-time.After(time.Minute):
			log.Fatalf("no event %s", name)
		}
	}
}

func main() {
	monitor, err := qmp.NewSocketMonitor("unix", os.Args[1], 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	if err := monitor.Connect(); err != nil {
		log.Fatal(err)
	}
	events, err := monitor.Events(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, command := range os.Args[2:] {
		run(monitor, "migrate-set-parameters", map[string]interface{}{"mode": "cpr-exec", "cpr-exec-command": json.RawMessage(command)})
		run(monitor, "migrate", map[string]string{"uri": "file:unused"})
		waitFor(events, "STOP")
		waitFor(events, "RESUME")
		fmt.Printf("updated to %s\n", run(monitor, "query-version", nil))
	}
	monitor.Disconnect()
}

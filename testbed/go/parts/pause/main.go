// Pause holds the namespaces of a pod: it is the process of every pod's sandbox. It does nothing until it is told to
// end, and takes the exit status of processes that lost their parent.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			process, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err != nil || process <= 0 {
				break
			}
		}
	}
}

// Policies enforces the NetworkPolicies of a cluster with one node, by the filters of the network namespace that it runs in
// (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
//
// The filters stay when it ends: until it runs again, they are those of its last moment.
//
// Its arguments are the address of the API server, its certificate authority, a file with a token, the addresses of the
// node's pods, and the name that CNI knows their network by.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"iotorch.dev/testbed/parts/api"
)

// Where the CNI library notes the addresses that it gave to a pod, before any container of the pod is started; the
// pod's status tells them a second later.
const notes = "/var/lib/cni/results"

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: policies URL CA-FILE TOKEN-FILE POD-ADDRESSES NETWORK")
		os.Exit(2)
	}
	client, err := api.New(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	pods, err := netip.ParsePrefix(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	var world world
	changes := make(chan func())
	go api.Follow(client, "/api/v1/namespaces", &world.namespaces, changes)
	go api.Follow(client, "/api/v1/pods", &world.pods, changes)
	go api.Follow(client, "/apis/networking.k8s.io/v1/networkpolicies", &world.policies, changes)
	go func() { log.Fatal(followNotes(notes, os.Args[5], &world.addresses, changes)) }()

	var enforced string
	var again <-chan time.Time
	for {
		select {
		case change := <-changes:
			change()
		case <-again:
		}
		if !world.isKnown() {
			continue
		}
		rules := world.rules(pods)
		again = nil
		if rules == enforced {
			continue
		}
		if err := enforce(rules); err != nil {
			log.Print(err)
			again = time.After(api.Pause)
			continue
		}
		enforced = rules
		log.Printf("enforced %d policies on %d pods", len(world.policies), len(world.addresses))
	}
}

// Keeps the addresses that are noted of the pods of a network.
func followNotes(folder, network string, into *map[string][]netip.Addr, changes chan<- func()) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	descriptor, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return err
	}
	const mask = syscall.IN_CLOSE_WRITE | syscall.IN_MOVED_TO | syscall.IN_DELETE
	if _, err := syscall.InotifyAddWatch(descriptor, folder, mask); err != nil {
		return err
	}
	events := os.NewFile(uintptr(descriptor), "inotify")
	for buffer := make([]byte, 1<<16); ; {
		addresses := noted(folder, network)
		changes <- func() { *into = addresses }
		// Whatever it was, all is read again.
		if _, err := events.Read(buffer); err != nil {
			return err
		}
	}
}

// The addresses of pods by their UID. A note that is half written will be written in full.
func noted(folder, network string) map[string][]netip.Addr {
	addresses := map[string][]netip.Addr{}
	files, _ := filepath.Glob(filepath.Join(folder, network+"-*"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		var note struct {
			NetworkName string
			CNIArgs     [][2]string
			Result      struct {
				IPs []struct{ Address netip.Prefix }
			}
		}
		if json.Unmarshal(text, &note) != nil || note.NetworkName != network {
			continue
		}
		for _, arg := range note.CNIArgs {
			if arg[0] == "K8S_POD_UID" {
				for _, ip := range note.Result.IPs {
					addresses[arg[1]] = append(addresses[arg[1]], ip.Address.Addr())
				}
			}
		}
	}
	return addresses
}

func enforce(rules string) error {
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if output, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft does not take the rules: %w: %s", err, output)
	}
	return nil
}

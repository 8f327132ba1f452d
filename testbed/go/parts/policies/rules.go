package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

const table = "inet iotorch-policies"

// All that decides the rules. A part that is not known yet is nil.
type world struct {
	// By their keys.
	namespaces map[string]namespace
	pods       map[string]pod
	policies   map[string]policy
	// By the UID of the pod that has them.
	addresses map[string][]netip.Addr
}

func (w *world) isKnown() bool {
	return w.namespaces != nil && w.pods != nil && w.policies != nil && w.addresses != nil
}

// The two things that a policy may be about.
type direction struct {
	kind  string
	rules func(*policy) []rule
	peers func(*rule) []peer
	// What nft calls the address of the other side.
	other string
	allow string
}

var (
	// What a pod may send its receiver still has to admit.
	egress = direction{
		"Egress", func(p *policy) []rule { return p.Spec.Egress }, func(r *rule) []peer { return r.To },
		"daddr", "goto arriving",
	}
	ingress = direction{
		"Ingress", func(p *policy) []rule { return p.Spec.Ingress }, func(r *rule) []peer { return r.From },
		"saddr", "accept",
	}
)

// rules is a script for nft that puts the table as it has to be in place of the one that is there, in one transaction.
//
// Filtered is what is forwarded, after the proxy has put in the pod that a service stands for and before anything puts
// another sender in. So what the node itself exchanges with its pods is free, as Kubernetes has it. An address in the
// range of pods that belongs to none that is known gets nothing through: policies hold from a pod's first instant.
// Pods have no IPv6 but the addresses that every link has by itself, which are not policed but closed.
func (w *world) rules(pods netip.Prefix) string {
	known := w.addressesOf(func(*pod) bool { return true })
	var selves []string
	for _, address := range known {
		selves = append(selves, fmt.Sprintf("%[1]s . %[1]s", address))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table %[1]s\ndelete table %[1]s\ntable %[1]s {\n", table)
	fmt.Fprintf(&b, "set pods { type ipv4_addr; %s}\n", elements(known))
	fmt.Fprintf(&b, "set selves { type ipv4_addr . ipv4_addr; %s}\n", elements(selves))
	w.chains(&b, ingress)
	chain(&b, "arriving", []string{"ip daddr vmap @Ingress", "accept"})
	w.chains(&b, egress)
	chain(&b, "forward", []string{
		"type filter hook forward priority filter; policy accept;",
		"meta nfproto ipv6 drop",
		"ct state established,related accept",
		"ip saddr . ip daddr @selves accept",
		fmt.Sprintf("ip saddr %s ip saddr != @pods drop", pods),
		fmt.Sprintf("ip daddr %s ip daddr != @pods drop", pods),
		"ip saddr vmap @Egress",
		"goto arriving",
	})
	b.WriteString("}\n")
	return b.String()
}

// Writes a chain for each policy, one for each address of a pod that some policy selects, and the map from addresses to
// these. A pod that no policy selects is free; what several policies allow adds up.
func (w *world) chains(b *strings.Builder, d direction) {
	jumps := map[string][]string{}
	for index, key := range slices.Sorted(maps.Keys(w.policies)) {
		policy := w.policies[key]
		if !slices.Contains(policy.Spec.PolicyTypes, d.kind) {
			continue
		}
		// Names of objects are too long for names of chains, and for comments.
		name := fmt.Sprintf("%s-%d", d.kind, index)
		lines := []string{fmt.Sprintf("comment \"%.100s\"", key)}
		for _, rule := range d.rules(&policy) {
			for _, others := range w.others(&policy, d.peers(&rule), d.other) {
				for _, ports := range w.ports(&rule) {
					lines = append(lines, others+ports+d.allow)
				}
			}
		}
		chain(b, name, lines)
		for _, address := range w.addressesOf(policy.selects) {
			jumps[address] = append(jumps[address], "jump "+name)
		}
	}
	var verdicts []string
	for _, address := range slices.Sorted(maps.Keys(jumps)) {
		chain(b, d.kind+"-"+address, append(jumps[address], "drop"))
		verdicts = append(verdicts, fmt.Sprintf("%[1]s : goto %[2]s-%[1]s", address, d.kind))
	}
	fmt.Fprintf(b, "map %s { type ipv4_addr : verdict; %s}\n", d.kind, elements(verdicts))
}

// The other side as matches, of which one has to hold; the empty one always does.
func (w *world) others(policy *policy, peers []peer, field string) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	var matches []string
	pods := w.addressesOf(func(pod *pod) bool {
		return slices.ContainsFunc(peers, func(peer peer) bool { return w.isPeer(policy, &peer, pod) })
	})
	if len(pods) > 0 {
		matches = append(matches, fmt.Sprintf("ip %s %s ", field, set(pods)))
	}
	for _, peer := range peers {
		if peer.IPBlock == nil || !peer.IPBlock.CIDR.Addr().Is4() {
			continue
		}
		match := fmt.Sprintf("ip %s %s ", field, peer.IPBlock.CIDR.Masked())
		for _, except := range peer.IPBlock.Except {
			match += fmt.Sprintf("ip %s != %s ", field, except.Masked())
		}
		matches = append(matches, match)
	}
	return matches
}

func (w *world) isPeer(policy *policy, peer *peer, pod *pod) bool {
	switch {
	case peer.IPBlock != nil:
		return false
	case peer.NamespaceSelector == nil && pod.Metadata.Namespace != policy.Metadata.Namespace:
		return false
	case peer.NamespaceSelector != nil &&
		!peer.NamespaceSelector.selects(w.namespaces[pod.Metadata.Namespace].Metadata.Labels):
		return false
	}
	return peer.PodSelector == nil || peer.PodSelector.selects(pod.Metadata.Labels)
}

// The receiver's ports as matches, of which one has to hold; the empty one always does.
func (w *world) ports(rule *rule) []string {
	if len(rule.Ports) == 0 {
		return []string{""}
	}
	var matches []string
	for _, port := range rule.Ports {
		protocol := strings.ToLower(port.Protocol)
		switch {
		case port.Port == nil:
			matches = append(matches, fmt.Sprintf("meta l4proto %s ", protocol))
		case port.Port.name != "":
			matches = append(matches, w.named(port.Port.name, port.Protocol)...)
		case port.EndPort != 0:
			matches = append(matches, fmt.Sprintf("%s dport %d-%d ", protocol, port.Port.number, port.EndPort))
		default:
			matches = append(matches, fmt.Sprintf("%s dport %d ", protocol, port.Port.number))
		}
	}
	return matches
}

// Pods differ in the number that a name stands for.
func (w *world) named(name, protocol string) []string {
	numbers := map[int]bool{}
	for _, pod := range w.pods {
		if number, has := pod.port(name, protocol); has {
			numbers[number] = true
		}
	}
	var matches []string
	for _, number := range slices.Sorted(maps.Keys(numbers)) {
		pods := w.addressesOf(func(pod *pod) bool {
			own, has := pod.port(name, protocol)
			return has && own == number
		})
		if len(pods) > 0 {
			matches = append(matches, fmt.Sprintf("ip daddr %s %s dport %d ", set(pods), strings.ToLower(protocol), number))
		}
	}
	return matches
}

// In order, as the same world has to give the same rules.
func (w *world) addressesOf(isMeant func(*pod) bool) []string {
	var addresses []string
	for _, pod := range w.pods {
		if isMeant(&pod) {
			for _, address := range w.addresses[pod.Metadata.UID] {
				addresses = append(addresses, address.String())
			}
		}
	}
	slices.Sort(addresses)
	return addresses
}

func chain(b *strings.Builder, name string, lines []string) {
	fmt.Fprintf(b, "chain %s {\n\t%s\n}\n", name, strings.Join(lines, "\n\t"))
}

func set(elements []string) string {
	return fmt.Sprintf("{ %s }", strings.Join(elements, ", "))
}

// An empty set goes without.
func elements(elements []string) string {
	if len(elements) == 0 {
		return ""
	}
	return "elements = " + set(elements) + "; "
}

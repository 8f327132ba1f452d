package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"iotorch.dev/testbed/parts/api"
)

// Two namespaces: "one" with a gateway and a server, "two" with another server, whose port "http" has another number.
func someWorld(t *testing.T, policies ...string) *world {
	t.Helper()
	w := &world{
		namespaces: map[string]namespace{},
		pods:       map[string]pod{},
		policies:   map[string]policy{},
		addresses:  map[string][]netip.Addr{},
	}
	put(t, w.namespaces, `{"metadata": {"name": "one", "labels": {"name": "one", "place": "edge"}}}`)
	put(t, w.namespaces, `{"metadata": {"name": "two", "labels": {"name": "two"}}}`)
	for _, pod := range []string{
		`{"metadata": {"namespace": "one", "name": "gateway", "uid": "11", "labels": {"app": "gateway"}}}`,
		`{"metadata": {"namespace": "one", "name": "server", "uid": "12", "labels": {"app": "server"}}, "spec": {"containers":
			[{"ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}]}}`,
		`{"metadata": {"namespace": "two", "name": "server", "uid": "21", "labels": {"app": "server"}}, "spec": {"containers":
			[{}, {"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]}}`,
		`{"metadata": {"namespace": "two", "name": "begins", "uid": "22", "labels": {"app": "server"}}}`,
	} {
		put(t, w.pods, pod)
	}
	for uid, address := range map[string]string{"11": "10.0.0.11", "12": "10.0.0.12", "21": "10.0.0.21"} {
		w.addresses[uid] = []netip.Addr{netip.MustParseAddr(address)}
	}
	for _, policy := range policies {
		put(t, w.policies, policy)
	}
	return w
}

func put[T any](t *testing.T, into map[string]T, text string) {
	t.Helper()
	var known struct{ Metadata metadata }
	var object T
	for _, target := range []any{&known, &object} {
		if err := json.Unmarshal([]byte(text), target); err != nil {
			t.Fatal(err)
		}
	}
	into[api.Key(known.Metadata.Namespace, known.Metadata.Name)] = object
}

// The lines of a chain, or of nothing if there is no such chain.
func linesOf(rules, chain string) string {
	_, rest, _ := strings.Cut(rules, "chain "+chain+" {\n")
	body, _, _ := strings.Cut(rest, "\n}")
	return strings.ReplaceAll(body, "\t", "")
}

var pods = netip.MustParsePrefix("10.0.0.0/24")

const (
	ofGateway = `"metadata": {"namespace": "one", "name": "p"}, "spec": {"podSelector": {"matchLabels": {"app": "gateway"}}, `
	ofServer  = `"metadata": {"namespace": "one", "name": "p"}, "spec": {"podSelector": {"matchLabels": {"app": "server"}}, `
)

func TestARuleOfAPolicyIsAMatchOfEitherSideAndOfPorts(t *testing.T) {
	for name, test := range map[string]struct{ rule, want string }{
		"a rule without peers and ports allows everything": {
			`{}`, "accept",
		},
		"a pod selector means pods of the same namespace": {
			`{"from": [{"podSelector": {}}]}`, "ip saddr { 10.0.0.11, 10.0.0.12 } accept",
		},
		"a namespace selector means all pods of these namespaces": {
			`{"from": [{"namespaceSelector": {"matchLabels": {"name": "two"}}}]}`, "ip saddr { 10.0.0.21 } accept",
		},
		"both selectors in one peer have to select": {
			`{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "server"}}}]}`,
			"ip saddr { 10.0.0.12, 10.0.0.21 } accept",
		},
		"of several peers one has to match": {
			`{"from": [{"namespaceSelector": {"matchLabels": {"name": "two"}}},
				{"podSelector": {"matchLabels": {"app": "server"}}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}]}`,
			"ip saddr { 10.0.0.12, 10.0.0.21 } accept\nip saddr 192.0.2.0/24 accept",
		},
		"a selector by expressions": {
			`{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "place", "operator": "DoesNotExist"},
				{"key": "name", "operator": "In", "values": ["one", "two"]}]}}]}`,
			"ip saddr { 10.0.0.21 } accept",
		},
		"a selector that selects nothing allows nothing": {
			`{"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn",
				"values": ["gateway", "server"]}]}}]}`,
			"",
		},
		"a block of addresses is without its exceptions": {
			`{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/24", "192.0.2.1/32"]}}]}`,
			"ip saddr 0.0.0.0/0 ip saddr != 10.0.0.0/24 ip saddr != 192.0.2.1/32 accept",
		},
		"a block of IPv6 addresses holds nobody": {
			`{"from": [{"ipBlock": {"cidr": "::/0"}}]}`, "",
		},
		"ports are numbers, ranges and whole protocols": {
			`{"ports": [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 5000, "endPort": 5010},
				{"protocol": "SCTP"}]}`,
			"tcp dport 80 accept\nudp dport 5000-5010 accept\nmeta l4proto sctp accept",
		},
		"the name of a port stands for a number in each pod": {
			`{"ports": [{"protocol": "TCP", "port": "http"}]}`,
			"ip daddr { 10.0.0.12 } tcp dport 80 accept\nip daddr { 10.0.0.21 } tcp dport 8080 accept",
		},
		"the name of a port is one of a protocol": {
			`{"ports": [{"protocol": "UDP", "port": "http"}]}`, "",
		},
		"peers and ports both have to match": {
			`{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"protocol": "TCP", "port": 80}]}`,
			"ip saddr { 10.0.0.11 } tcp dport 80 accept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := someWorld(t, `{`+ofServer+`"policyTypes": ["Ingress"], "ingress": [`+test.rule+`]}}`)
			want := strings.TrimSuffix("comment \"one/p\"\n"+test.want, "\n")
			if got := linesOf(w.rules(pods), "Ingress-0"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestWhatAPodMaySendItsReceiverHasToAdmit(t *testing.T) {
	w := someWorld(t, `{`+ofGateway+`"policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}]}}`)
	rules := w.rules(pods)
	want := "comment \"one/p\"\nip daddr { 10.0.0.11, 10.0.0.12 } goto arriving"
	if got := linesOf(rules, "Egress-0"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := linesOf(rules, "Egress-10.0.0.11"); got != "jump Egress-0\ndrop" {
		t.Errorf("got\n%s", got)
	}
	if got := linesOf(rules, "arriving"); got != "ip daddr vmap @Ingress\naccept" {
		t.Errorf("got\n%s", got)
	}
}

func TestOnlyPodsThatAPolicySelectsAreRestrictedAndOnlyInItsDirections(t *testing.T) {
	deny := `{"metadata": {"namespace": "one", "name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}`
	rules := someWorld(t, deny).rules(pods)
	for chain, want := range map[string]string{
		"Ingress-10.0.0.11": "jump Ingress-0\ndrop",
		"Ingress-10.0.0.12": "jump Ingress-0\ndrop",
		"Ingress-0":         "comment \"one/deny\"",
		"Ingress-10.0.0.21": "",
		"Egress-10.0.0.11":  "",
	} {
		if got := linesOf(rules, chain); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", chain, got, want)
		}
	}
}

func TestWhatSeveralPoliciesAllowAddsUp(t *testing.T) {
	deny := `{"metadata": {"namespace": "one", "name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}`
	rules := someWorld(t, `{`+ofServer+`"policyTypes": ["Ingress"], "ingress": [{}]}}`, deny).rules(pods)
	if got := linesOf(rules, "Ingress-10.0.0.12"); got != "jump Ingress-0\njump Ingress-1\ndrop" {
		t.Errorf("got\n%s", got)
	}
	if got := linesOf(rules, "Ingress-10.0.0.11"); got != "jump Ingress-0\ndrop" {
		t.Errorf("got\n%s", got)
	}
}

func TestTheSameWorldGivesTheSameRules(t *testing.T) {
	deny := `{"metadata": {"namespace": "two", "name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}`
	w := someWorld(t, `{`+ofServer+`"policyTypes": ["Ingress", "Egress"], "ingress": [{}]}}`, deny)
	first := w.rules(pods)
	for range 20 {
		if w.rules(pods) != first {
			t.Fatal("they differ")
		}
	}
}

// What nft itself thinks of the rules; it needs root, and a network of its own as it looks into the one it runs in.
func TestRulesAreTakenByNft(t *testing.T) {
	check := func(rules string) error {
		nft := exec.Command("unshare", "--net", "nft", "--check", "-f", "-")
		nft.Stdin = strings.NewReader(rules)
		output, err := nft.CombinedOutput()
		t.Logf("%s", output)
		return err
	}
	if err := check("table inet t\n"); err != nil {
		t.Skipf("nft cannot be tried here: %v", err)
	}
	everything := `{` + ofServer + `"policyTypes": ["Ingress", "Egress"],
		"ingress": [{}, {"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/24", "10.0.0.0/25"]}}]}],
		"egress": [{"ports": [{"protocol": "TCP", "port": "http"}, {"protocol": "SCTP", "port": 1, "endPort": 9}, {"protocol": "UDP"}]}]}}`
	for name, w := range map[string]*world{
		"nothing":    {},
		"no policy":  someWorld(t),
		"everything": someWorld(t, everything),
	} {
		if err := check(w.rules(pods)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, w.rules(pods))
		}
	}
}

func TestANoteOfCNITellsTheAddressOfAPod(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("net-1-eth0", `{"networkName": "net", "cniArgs": [["K8S_POD_NAME", "a"], ["K8S_POD_UID", "11"]],
		"result": {"ips": [{"address": "10.0.0.11/17"}]}}`)
	write("net-2-eth0", `{"networkName": "net", "cniArgs": [["K8S_POD_UID", "12"]], "result": {"ips": [{"addr`)
	write("net-more-3-eth0", `{"networkName": "net-more", "cniArgs": [["K8S_POD_UID", "13"]],
		"result": {"ips": [{"address": "10.0.0.13/17"}]}}`)
	got := noted(folder, "net")
	if len(got) != 1 || len(got["11"]) != 1 || got["11"][0].String() != "10.0.0.11" {
		t.Errorf("got %v", got)
	}
}

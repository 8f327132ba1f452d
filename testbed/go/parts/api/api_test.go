package api

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A client of a server that answers each request with the next of these texts, and then with nothing.
func clientOf(t *testing.T, answers ...string) *Client {
	t.Helper()
	next := make(chan string, len(answers))
	for _, answer := range answers {
		next <- answer
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		select {
		case answer := <-next:
			fmt.Fprint(w, answer)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	folder := t.TempDir()
	authority, token := filepath.Join(folder, "ca.crt"), filepath.Join(folder, "token")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, text := range map[string][]byte{authority: certificate, token: []byte("secret\n")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := New(server.URL, authority, token)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func event(kind, namespace, name string) string {
	return fmt.Sprintf(`{"type": %q, "object": {"metadata": {"namespace": %q, "name": %q}}}`, kind, namespace, name)
}

const end = `{"type": "BOOKMARK", "object": {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}}`

func TestWhatIsKnownHoldsUntilAllIsKnownAgain(t *testing.T) {
	client := clientOf(t,
		event("ADDED", "one", "a")+event("ADDED", "", "b")+end+
			event("DELETED", "one", "a")+event("ADDED", "two", "c"),
		// Broken off before all was told.
		event("ADDED", "three", "d"),
		event("ADDED", "", "b")+end,
	)
	var known map[string]struct{}
	changes := make(chan func())
	go Follow(client, "/things", &known, changes)
	for _, want := range [][]string{{"b", "one/a"}, {"b"}, {"b", "two/c"}, {"b"}} {
		(<-changes)()
		if got := slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestAWatchThatTheServerCannotGoOnWithEndsWithWhatItSays(t *testing.T) {
	client := clientOf(t, `{"type": "ERROR", "object": {"code": 410}}`)
	err := client.Watch("/things", func(Event) error { return nil })
	if err == nil || err.Error() != `the watch of /things ended: {"code": 410}` {
		t.Fatalf("got %v", err)
	}
}

func TestARefusalIsAnErrorWithItsCode(t *testing.T) {
	client := clientOf(t)
	client.token = "wrong"
	err := client.Call(http.MethodGet, "/things", nil, nil)
	status, is := err.(*StatusError)
	if !is || status.Code != http.StatusUnauthorized {
		t.Fatalf("got %v", err)
	}
}

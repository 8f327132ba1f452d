// Package api speaks with the API server, as a user who has a token.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// Pause is for after a failure of a request, as the API server may be away for a while.
	Pause = time.Second
	// How long an answer may take.
	patience = 30 * time.Second
	// The annotation of the event that follows those of what was there at the start of a watch
	// (https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists).
	initialEventsEnd = "k8s.io/initial-events-end"
)

// Client is one user at one API server.
type Client struct {
	url   string
	token string
	http  *http.Client
}

// New needs the URL of the API server, and files with its certificate authority and with the token.
func New(url, authority, token string) (*Client, error) {
	certificate, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: roots},
		ResponseHeaderTimeout: patience,
	}
	return &Client{url, strings.TrimSpace(string(secret)), &http.Client{Transport: transport}}, nil
}

// StatusError is an answer that is a refusal.
type StatusError struct {
	Code          int
	request, body string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s was answered with %d: %s", e.request, e.Code, e.body)
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, &StatusError{response.StatusCode, method + " " + path, string(text)}
	}
	return response, nil
}

// Call sends a body, if there is one, and reads the answer, if it is wanted.
func (c *Client) Call(method, path string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		encoded = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	response, err := c.request(ctx, method, path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// Event is what a watch tells.
type Event struct {
	// ADDED, MODIFIED, DELETED or BOOKMARK.
	Type   string
	Object json.RawMessage
}

// Watch tells of all objects of a resource that are there, that this was all, and of every change, until the API server
// ends the watch or an event cannot be used.
func (c *Client) Watch(path string, tell func(Event) error) error {
	// So that a connection whose other end vanished is not waited on for ever.
	const seconds = 300
	ctx, cancel := context.WithTimeout(context.Background(), (seconds+30)*time.Second)
	defer cancel()
	query := fmt.Sprintf("?watch=1&timeoutSeconds=%d&allowWatchBookmarks=1"+
		"&sendInitialEvents=1&resourceVersionMatch=NotOlderThan", seconds)
	response, err := c.request(ctx, http.MethodGet, path+query, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	events := json.NewDecoder(response.Body)
	for {
		var event Event
		if err := events.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if event.Type == "ERROR" {
			return fmt.Errorf("the watch of %s ended: %s", path, event.Object)
		}
		if err := tell(event); err != nil {
			return err
		}
	}
}

// Key is what an object is known by among those of its resource.
func Key(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// Follow keeps all objects of a resource, by their keys, for ever. They are changed only by the functions that it
// sends, so whoever calls these may read them meanwhile. They are nil until all are known.
func Follow[T any](client *Client, path string, into *map[string]T, changes chan<- func()) {
	for {
		// What was known when a watch broke off holds until all is known again.
		start := map[string]T{}
		err := client.Watch(path, func(event Event) error {
			var known struct {
				Metadata struct {
					Name, Namespace string
					Annotations     map[string]string
				}
			}
			var object T
			if err := errors.Join(json.Unmarshal(event.Object, &known), json.Unmarshal(event.Object, &object)); err != nil {
				return fmt.Errorf("cannot read an object of %s: %w", path, err)
			}
			change := func(objects map[string]T) {
				key := Key(known.Metadata.Namespace, known.Metadata.Name)
				switch event.Type {
				case "ADDED", "MODIFIED":
					objects[key] = object
				case "DELETED":
					delete(objects, key)
				}
			}
			switch {
			case start == nil:
				changes <- func() { change(*into) }
			case event.Type == "BOOKMARK" && known.Metadata.Annotations[initialEventsEnd] == "true":
				complete := start
				start = nil
				changes <- func() { *into = complete }
			default:
				change(start)
			}
			return nil
		})
		if err != nil {
			log.Print(err)
			time.Sleep(Pause)
		}
	}
}

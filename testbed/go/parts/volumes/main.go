// Volumes gives every PersistentVolumeClaim of the class "folders" a folder of the node as its volume, and removes the
// folder once the volume is released.
//
// The folders are volumes of type "local", for which the kubelet honours fsGroup, as it does for disks. Capacity is
// recorded and not enforced.
//
// Its arguments are the folder for all volumes, the address of the API server, its certificate authority, and a file
// with a token.
package main

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
	"path/filepath"
	"strings"
	"time"
)

const (
	class = "folders"
	// What marks the volumes that were made here, beside their class, which a user may put on volumes too.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	provisioner   = "iotorch.dev/folders"

	claims  = "/api/v1/persistentvolumeclaims"
	volumes = "/api/v1/persistentvolumes"

	// After a failure of a request, as the API server may be away for a while.
	pause = time.Second
	// Everything is looked at again this often, for what failed meanwhile.
	period = 30 * time.Second
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: volumes FOLDER URL CA-FILE TOKEN-FILE")
		os.Exit(2)
	}
	api, err := newAPI(os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	keeper := &keeper{api: api, folder: os.Args[1]}

	changed := make(chan struct{}, 1)
	go watch(api, claims, changed)
	go watch(api, volumes, changed)
	for {
		if err := keeper.keep(); err != nil {
			log.Print(err)
			time.Sleep(pause)
		}
		select {
		case <-changed:
		case <-time.After(period):
		}
	}
}

// Tells of every change, and of every start of a watch, as there may have been changes before it.
func watch(api *api, path string, changed chan<- struct{}) {
	for {
		err := api.watch(path, func() {
			select {
			case changed <- struct{}{}:
			default: // It is told already.
			}
		})
		if err != nil {
			log.Print(err)
			time.Sleep(pause)
		}
	}
}

type keeper struct {
	api    *api
	folder string
}

func (k *keeper) keep() error {
	var claimed struct{ Items []claim }
	if err := k.api.call(http.MethodGet, claims, nil, &claimed); err != nil {
		return err
	}
	var problems []error
	for _, claim := range claimed.Items {
		if claim.isWaiting() {
			problems = append(problems, k.provide(claim))
		}
	}

	var known struct{ Items []volume }
	if err := k.api.call(http.MethodGet, volumes, nil, &known); err != nil {
		return errors.Join(append(problems, err)...)
	}
	for _, volume := range known.Items {
		if volume.isToGo() {
			problems = append(problems, k.remove(volume))
		}
	}
	return errors.Join(problems...)
}

func (k *keeper) provide(claim claim) error {
	name := "pvc-" + claim.Metadata.UID
	path := filepath.Join(k.folder, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	err := k.api.call(http.MethodPost, volumes, claim.volume(name, path), nil)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return nil // It was made before, and is about to be bound.
	}
	if err == nil {
		log.Printf("made %s for %s/%s", name, claim.Metadata.Namespace, claim.Metadata.Name)
	}
	return err
}

func (k *keeper) remove(volume volume) error {
	name := volume.Metadata.Name
	if filepath.Base(name) != name || !strings.HasPrefix(name, "pvc-") {
		return fmt.Errorf("cannot remove the volume %q: it is not named as those made here", name)
	}
	if err := os.RemoveAll(filepath.Join(k.folder, name)); err != nil {
		return err
	}
	err := k.api.call(http.MethodDelete, volumes+"/"+name, nil, nil)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil
	}
	if err == nil {
		log.Printf("removed %s", name)
	}
	return err
}

// The fields of a PersistentVolumeClaim that matter here.
type claim struct {
	Metadata metadata
	Spec     struct {
		StorageClassName string
		VolumeName       string
		VolumeMode       string
		AccessModes      []string
		Selector         any
		Resources        struct{ Requests map[string]string }
	}
	Status struct{ Phase string }
}

type metadata struct {
	Name, Namespace, UID string
	DeletionTimestamp    *string
	Annotations          map[string]string
}

// Claims for raw disks, and those that choose among volumes by labels, stay pending, as with other provisioners.
func (c *claim) isWaiting() bool {
	return c.Spec.StorageClassName == class && c.Spec.VolumeName == "" && c.Status.Phase == "Pending" &&
		c.Spec.VolumeMode != "Block" && c.Spec.Selector == nil && c.Metadata.DeletionTimestamp == nil
}

func (c *claim) volume(name, path string) any {
	return object{
		"apiVersion": "v1",
		"kind":       "PersistentVolume",
		"metadata":   object{"name": name, "annotations": object{provisionedBy: provisioner}},
		"spec": object{
			"storageClassName":              class,
			"accessModes":                   c.Spec.AccessModes,
			"capacity":                      object{"storage": c.Spec.Resources.Requests["storage"]},
			"persistentVolumeReclaimPolicy": "Delete",
			"claimRef": object{
				"apiVersion": "v1",
				"kind":       "PersistentVolumeClaim",
				"namespace":  c.Metadata.Namespace,
				"name":       c.Metadata.Name,
				"uid":        c.Metadata.UID,
			},
			"local": object{"path": path},
			// A local volume must say on which nodes it is; a cluster of the testbed has one, or simulated ones.
			"nodeAffinity": object{"required": object{"nodeSelectorTerms": []object{{
				"matchExpressions": []object{{"key": "kubernetes.io/hostname", "operator": "Exists"}},
			}}}},
		},
	}
}

type object map[string]any

// The fields of a PersistentVolume that matter here.
type volume struct {
	Metadata metadata
	Spec     struct{ PersistentVolumeReclaimPolicy string }
	Status   struct{ Phase string }
}

func (v *volume) isToGo() bool {
	return v.Metadata.Annotations[provisionedBy] == provisioner && v.Status.Phase == "Released" &&
		v.Spec.PersistentVolumeReclaimPolicy == "Delete" && v.Metadata.DeletionTimestamp == nil
}

type api struct {
	url    string
	token  string
	client *http.Client
}

func newAPI(url, authority, token string) (*api, error) {
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
		ResponseHeaderTimeout: period,
	}
	return &api{url, strings.TrimSpace(string(secret)), &http.Client{Transport: transport}}, nil
}

type statusError struct {
	request, body string
	code          int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s was answered with %d: %s", e.request, e.code, e.body)
}

func (a *api) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, &statusError{method + " " + path, string(text), response.StatusCode}
	}
	return response, nil
}

func (a *api) call(method, path string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		encoded = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), period)
	defer cancel()
	response, err := a.request(ctx, method, path, bytes.NewReader(encoded))
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

// Calls back at the start and at every event, until the API server ends the watch.
func (a *api) watch(path string, changed func()) error {
	// So that a connection whose other end vanished is not waited on for ever.
	const seconds = 300
	ctx, cancel := context.WithTimeout(context.Background(), (seconds+30)*time.Second)
	defer cancel()
	response, err := a.request(ctx, http.MethodGet, fmt.Sprintf("%s?watch=1&timeoutSeconds=%d", path, seconds), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	changed()
	events := json.NewDecoder(response.Body)
	for {
		var event json.RawMessage
		if err := events.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		changed()
	}
}

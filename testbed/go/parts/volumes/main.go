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
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"iotorch.dev/testbed/parts/api"
)

const (
	class = "folders"
	// What marks the volumes that were made here, beside their class, which a user may put on volumes too.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	provisioner   = "iotorch.dev/folders"

	claims  = "/api/v1/persistentvolumeclaims"
	volumes = "/api/v1/persistentvolumes"

	// Everything is looked at again this often, for what failed meanwhile.
	period = 30 * time.Second
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: volumes FOLDER URL CA-FILE TOKEN-FILE")
		os.Exit(2)
	}
	client, err := api.New(os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	keeper := &keeper{client: client, folder: os.Args[1]}

	changed := make(chan struct{}, 1)
	go watch(client, claims, changed)
	go watch(client, volumes, changed)
	for {
		if err := keeper.keep(); err != nil {
			log.Print(err)
			time.Sleep(api.Pause)
		}
		select {
		case <-changed:
		case <-time.After(period):
		}
	}
}

// Tells of every change, and of every start of a watch, as there may have been changes before it.
func watch(client *api.Client, path string, changed chan<- struct{}) {
	for {
		err := client.Watch(path, func(api.Event) error {
			select {
			case changed <- struct{}{}:
			default: // It is told already.
			}
			return nil
		})
		if err != nil {
			log.Print(err)
			time.Sleep(api.Pause)
		}
	}
}

type keeper struct {
	client *api.Client
	folder string
}

func (k *keeper) keep() error {
	var claimed struct{ Items []claim }
	if err := k.client.Call(http.MethodGet, claims, nil, &claimed); err != nil {
		return err
	}
	var problems []error
	for _, claim := range claimed.Items {
		if claim.isWaiting() {
			problems = append(problems, k.provide(claim))
		}
	}

	var known struct{ Items []volume }
	if err := k.client.Call(http.MethodGet, volumes, nil, &known); err != nil {
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
	err := k.client.Call(http.MethodPost, volumes, claim.volume(name, path), nil)
	var status *api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusConflict {
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
	err := k.client.Call(http.MethodDelete, volumes+"/"+name, nil, nil)
	var status *api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
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

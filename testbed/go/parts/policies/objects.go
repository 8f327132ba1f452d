package main

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
)

// The fields of objects that matter here, as Kubernetes' API reference has them.

type metadata struct {
	Name, Namespace, UID string
	Labels               map[string]string
}

type namespace struct{ Metadata metadata }

type pod struct {
	Metadata metadata
	Spec     struct{ Containers, InitContainers []container }
}

type container struct {
	Ports []struct {
		Name, Protocol string
		ContainerPort  int
	}
}

// https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
type policy struct {
	Metadata metadata
	Spec     struct {
		PodSelector     selector
		PolicyTypes     []string
		Ingress, Egress []rule
	}
}

// Either From or To is there, by the direction.
type rule struct {
	From, To []peer
	Ports    []portRange
}

type peer struct {
	PodSelector, NamespaceSelector *selector
	IPBlock                        *struct {
		CIDR   netip.Prefix
		Except []netip.Prefix
	}
}

type portRange struct {
	Protocol string
	Port     *portName
	EndPort  int
}

// A number, or the name that containers give to one.
type portName struct {
	number int
	name   string
}

func (p *portName) UnmarshalJSON(text []byte) error {
	if number, err := strconv.Atoi(string(text)); err == nil {
		p.number = number
		return nil
	}
	return json.Unmarshal(text, &p.name)
}

type selector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	}
}

// One that asks for nothing selects everything.
func (s *selector) selects(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if label, has := labels[key]; !has || label != value {
			return false
		}
	}
	for _, want := range s.MatchExpressions {
		label, has := labels[want.Key]
		in := has && slices.Contains(want.Values, label)
		if want.Operator == "In" && !in || want.Operator == "NotIn" && in ||
			want.Operator == "Exists" && !has || want.Operator == "DoesNotExist" && has {
			return false
		}
	}
	return true
}

func (p *policy) selects(pod *pod) bool {
	return p.Metadata.Namespace == pod.Metadata.Namespace && p.Spec.PodSelector.selects(pod.Metadata.Labels)
}

// The number that a name of a port stands for in this pod.
func (p *pod) port(name, protocol string) (int, bool) {
	for _, container := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, port := range container.Ports {
			if port.Name == name && port.Protocol == protocol {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

#!/usr/bin/env bash
# A server on cloud-1 and a gateway on edge-1, as a person's script makes them: one thing after another, each waited for. It ends
# when the first reading of the gateway's device is stored at the server.
#
# Told by the environment: KUBECONFIG, HELM and KUBECTL (programs), CHARTS (the folder of the charts), IMAGE and TAG (of iotorch, which
# the clusters have), SLICE (the namespace on both).
set -euo pipefail

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

on() { "$KUBECTL" --context "$1" --namespace "$SLICE" "${@:2}"; }

secret() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

# start CLUSTER RELEASE CHART TOKEN
start() {
    on "$1" create namespace "$SLICE"
    on "$1" create secret generic "$2-admin" --from-literal "token=$4"
    "$HELM" install "$2" "$CHARTS/$3" --kube-context "$1" --namespace "$SLICE" --wait \
        --set "image.repository=$IMAGE,image.tag=$TAG,image.pullPolicy=Never,adminSecret.name=$2-admin"
}

# forward CLUSTER RELEASE: opens a way to its management API, and says where.
forward() {
    "$KUBECTL" --context "$1" --namespace "$SLICE" port-forward "service/$2" :management >"$work/$2" &
    until grep -q '^Forwarding from 127' "$work/$2"; do sleep 0.02; done
    sed -n 's/^Forwarding from \(127[^ ]*\).*/http:\/\/\1/p' "$work/$2" | head -n 1 >"$work/$2.url"
}

# put TOKEN URL BODY
put() {
    curl --silent --show-error --fail --request PUT "$2" --header "Authorization: Bearer $1" \
        --header 'Content-Type: application/json' --data "$3"
}

# node_port CLUSTER RELEASE PORT: where it is reached from outside of the cluster.
node_port() {
    echo "$(on "$1" get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')" \
        "$(on "$1" get service "$2-data" --output "jsonpath={.spec.ports[?(@.name==\"$3\")].nodePort}")"
}

admin=$(secret) reader=$(secret) key=$(secret)
start cloud-1 hub iotorch-server "$admin"
forward cloud-1 hub
hub=$(cat "$work/hub.url")
put "$admin" "$hub/tenants/$SLICE" "{\"mark\":\"script\",\"settings\":{},\"secret\":\"$reader\"}"
attached=$(put "$admin" "$hub/tenants/$SLICE/attachments/gw" '{"mark":"script","settings":{}}')
thing=$(sed 's/.*"thing":"\([^"]*\)".*/\1/' <<<"$attached")
channel=$(sed 's/.*"channel":"\([^"]*\)".*/\1/' <<<"$attached")
put "$admin" "$hub/tenants/$SLICE/attachments/gw/credentials/1" "{\"mark\":\"script\",\"settings\":{},\"secret\":\"$key\"}"
read -r host port < <(node_port cloud-1 hub mqtt)

admin=$(secret) password=$(secret)
start edge-1 gw iotorch-gateway "$admin"
forward edge-1 gw
gw=$(cat "$work/gw.url")
put "$admin" "$gw/profiles/climate" '{"mark":"script","settings":{"resources":{"temperature":{"type":"float","unit":"Cel"}}}}'
put "$admin" "$gw/devices/bench-1" '{"mark":"script","settings":{"profile":"climate","protocol":"http"}}'
put "$admin" "$gw/devices/bench-1/credentials/1" "{\"mark\":\"script\",\"settings\":{},\"secret\":\"$password\"}"
put "$admin" "$gw/exports/hub" "{\"mark\":\"script\",\"secret\":\"$key\",\"settings\":
    {\"host\":\"$host\",\"port\":$port,\"user_name\":\"$thing\",\"topic\":\"channels/$channel/messages\"}}"

read -r host port < <(node_port edge-1 gw http)
until curl --silent --fail --user "bench-1:$password" --header 'Content-Type: application/json' \
    --data '{"temperature":21.5}' "http://$host:$port/devices/bench-1"; do sleep 0.02; done
until curl --silent --fail --header "Authorization: Bearer $reader" "$hub/tenants/$SLICE/channels/$channel/messages?limit=1" |
    grep -q 21.5; do sleep 0.02; done

// Certificates makes the keys and certificates of a cluster in a folder that is there and holds none:
//
//	ca.crt                         the authority that signs the others; its key is not kept
//	apiserver.crt, .key            what the API server shows to its clients
//	kubelet-client.crt, .key       what the API server shows to the kubelet
//	service-accounts.key, .pub     what signs the tokens of service accounts
//
// Its arguments are the folder, and the addresses and names by which the API server is reached.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A testbed that is up for longer is brought up again.
const lifetime = 10 * 365 * 24 * time.Hour

// Clocks that were set back meanwhile still find the certificates valid.
const slack = 24 * time.Hour

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: certificates FOLDER ADDRESS...")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "cannot make the certificates:", err)
		os.Exit(1)
	}
}

func write(folder string, addresses []string) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, "ca.crt"), "CERTIFICATE", authority.certificate.Raw); err != nil {
		return err
	}

	server := template(pkix.Name{CommonName: "kube-apiserver"}, x509.ExtKeyUsageServerAuth)
	for _, address := range addresses {
		if ip := net.ParseIP(address); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, address)
		}
	}
	if err := authority.issue(server, filepath.Join(folder, "apiserver")); err != nil {
		return err
	}

	client := template(
		pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		x509.ExtKeyUsageClientAuth,
	)
	if err := authority.issue(client, filepath.Join(folder, "kubelet-client")); err != nil {
		return err
	}
	return writeSigningKey(filepath.Join(folder, "service-accounts"))
}

type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority() (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	own := template(pkix.Name{CommonName: "iotorch testbed"})
	own.IsCA = true
	own.BasicConstraintsValid = true
	own.KeyUsage = x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(raw)
	return &authority{key, certificate}, err
}

// Writes a certificate for a new key, and the key, beside each other.
func (a *authority) issue(template *x509.Certificate, path string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := writePEM(path+".crt", "CERTIFICATE", raw); err != nil {
		return err
	}
	return writeKey(path+".key", key)
}

func writeSigningKey(path string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(path+".pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(path+".key", key)
}

func template(subject pkix.Name, usage ...x509.ExtKeyUsage) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      subject,
		NotBefore:    now.Add(-slack),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  usage,
	}
}

// RFC 5280, section 4.1.2.2: unique for the authority, positive, at most 20 octets.
func serial() *big.Int {
	var octets [16]byte
	// It never fails: crypto/rand ends the program instead.
	_, _ = rand.Read(octets[:])
	octets[0] |= 1
	return new(big.Int).SetBytes(octets[:])
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	// The form that the readers of service account keys take (SEC 1).
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", raw)
}

func writePEM(path, kind string, raw []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600)
}

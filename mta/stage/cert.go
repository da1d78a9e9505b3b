package stage

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// Authority issues certificates. They are valid from 1990 to 2100, so that they serve under a fake clock too.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority of its own, known to nobody.
func NewAuthority() (*Authority, error) {
	t := template("stage authority")
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	cert, key, err := issue(t, nil)
	if err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// Roots is a pool that trusts the authority alone.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Server is the configuration of a server whose certificate is good for names. Give another host's names to get a
// certificate with the wrong one.
func (a *Authority) Server(names ...string) (*tls.Config, error) {
	return server(template(names...), a)
}

// Expired is as Server with a certificate that ended in 1995.
func (a *Authority) Expired(names ...string) (*tls.Config, error) {
	t := template(names...)
	t.NotAfter = time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC)
	return server(t, a)
}

// SelfSigned is the configuration of a server whose certificate nobody vouches for.
func SelfSigned(names ...string) (*tls.Config, error) { return server(template(names...), nil) }

func template(names ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: append(names, "nameless")[0]},
		DNSNames:    names,
		NotBefore:   time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:    time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func server(t *x509.Certificate, a *Authority) (*tls.Config, error) {
	cert, key, err := issue(t, a)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}, nil
}

// issue signs t with a's key, or, where a is nil, with its own.
func issue(t *x509.Certificate, a *Authority) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("making a serial number: %w", err)
	}
	parent, signer := t, crypto.Signer(key)
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

package dns

import "errors"

// ErrIDN is ToASCII's error about a domain that is not written in ASCII.
var ErrIDN = errors.New("a domain that is not ASCII has to be given in its A-label form (xn--…)")

// toALabels makes the A-labels of a domain that is not ASCII. Mapping needs the tables of golang.org/x/text, which the
// module does not have: so such a domain is refused rather than guessed at.
func toALabels(string) (string, error) { return "", ErrIDN }

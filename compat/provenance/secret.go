package provenance

import (
	"slices"
	"strings"
)

// hidden stands for what was left out.
const hidden = "***"

// secretNames are parts of the names of options and variables whose values are nobody's business.
var secretNames = []string{"pass", "pwd", "secret", "token", "apikey", "api-key", "api_key", "credential"}

// withoutSecrets gives the words of a command line without the values of options that are called after secrets (--password=X,
// --password X, PGPASSWORD=X) and without passwords in URLs. Everybody can see the arguments of others while their
// program runs; they are kept here for longer. It cannot know every program: what "-p X" means is anybody's guess.
func withoutSecrets(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if i == 0 {
			continue // the program, and what it says of itself
		}
		if i > 1 && !strings.HasPrefix(arg, "-") && isSecretOption(args[i-1]) {
			args[i] = hidden
			continue
		}
		if name, _, ok := strings.Cut(arg, "="); ok && isSecret(name) {
			args[i] = name + "=" + hidden
			continue
		}
		args[i] = withoutUserinfo(arg)
	}
	return args
}

// isSecretOption reports whether the next argument is the value of a long option called after a secret.
func isSecretOption(arg string) bool {
	return strings.HasPrefix(arg, "--") && !strings.Contains(arg, "=") && isSecret(arg)
}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretNames, func(s string) bool { return strings.Contains(name, s) })
}

// withoutUserinfo hides the password of scheme://user:password@host.
func withoutUserinfo(arg string) string {
	start := strings.Index(arg, "://")
	if start < 0 {
		return arg
	}
	start += len("://")
	authority := arg[start:]
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority = authority[:end]
	}
	user, _, ok := strings.Cut(authority, ":")
	at := strings.LastIndexByte(authority, '@')
	if !ok || at < len(user) {
		return arg
	}
	return arg[:start] + user + ":" + hidden + arg[start+at:]
}

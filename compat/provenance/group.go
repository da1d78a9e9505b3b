package provenance

import "strings"

// groupPath picks the path that tells most of the lines of a cgroup file (cgroups(7)): that of version 2, else that of
// systemd, else any that is not the root.
func groupPath(text string) string {
	best := ""
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok || path == "/" || path == "":
		case controllers == "":
			return path
		case controllers == "name=systemd" || best == "":
			best = path
		}
	}
	return best
}

// engines are the names that container engines give to the groups they make, before the id.
var engines = []struct{ prefix, name string }{
	{"docker-", "docker"}, {"libpod-", "podman"}, {"crio-", "cri-o"}, {"cri-containerd-", "containerd"},
	{"lxc.payload.", "lxc"}, {"machine-", "machine"}, {"nspawn-", "machine"},
}

// parseGroup finds the unit of systemd and the container in the path of a control group: the innermost of each, as
// units hold others. Slices tell nothing that is of use.
func parseGroup(path string) (unit, container string) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if c := containerOf(parts[:i], part); c != "" {
			container, unit = c, "" // what is above it is the engine's
		}
		for _, kind := range [...]string{".service", ".scope", ".socket", ".mount"} {
			if strings.HasSuffix(part, kind) && containerOf(nil, part) == "" {
				unit = part
			}
		}
	}
	return first(unit, maxUnit), first(container, maxUnit)
}

// containerOf names the container whose group part is, with the names above it; empty: it is none.
func containerOf(above []string, part string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(part, ".scope"), ".service")
	for _, e := range engines {
		if id, ok := strings.CutPrefix(name, e.prefix); ok && id != "" {
			return e.name + " " + short(id)
		}
	}
	if n := len(above); n > 0 && above[n-1] == "docker" && hex(part) {
		return "docker " + short(part)
	}
	for _, a := range above {
		if strings.HasPrefix(a, "kubepods") && hex(part) {
			return "kubernetes " + short(part)
		}
	}
	return ""
}

// short cuts an id as the tools of containers show it.
func short(id string) string {
	if hex(id) {
		return id[:12]
	}
	return id
}

// hex reports whether s is an id of a container.
func hex(s string) bool { return len(s) >= 32 && strings.Trim(s, "0123456789abcdef") == "" }

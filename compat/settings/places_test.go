package settings

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestPlaces(t *testing.T) {
	const text = `# [not.a.table]
top = "a # b" # c
list = [ # [x]
  "one", 'two]', """thr"ee""",
  [4, { five = 5 }],
]
inline = { a = 1, "b c" = { d = 2 } }
dotted . "x" = 1979-05-27 07:32:00
[table."sub"]
key = '''
[fake]
''''
[[route]]
relay = "first"
[[route]]
relay = "second"
[route.deep]
z = -1
`
	want := map[string]string{ // place of the value, by line:column
		"top":               "2:7",
		"list":              "3:8",
		"list.[0]":          "4:3",
		"list.[2]":          "4:18",
		"list.[3].[1].five": "5:16",
		"inline.b c.d":      "7:33",
		"dotted.x":          "8:16",
		"table.sub.key":     "10:7",
		"route.[0].relay":   "14:9",
		"route.[1].relay":   "16:9",
		"route.[1].deep.z":  "18:5",
		"route.[1]":         "15:1",
		"inline.a":          "7:16",
		"list.[1]":          "4:10",
		"table":             "9:1",
		"route":             "13:1",
		"dotted":            "8:1",
		"list.[3]":          "5:3",
		"inline":            "7:10",
		"list.[3].[0]":      "5:4",
		"route.[1].deep":    "17:1",
		"inline.b c":        "7:27",
		"list.[3].[1]":      "5:7",
		"table.sub":         "9:1",
	}
	found := find(text)
	for key, where := range want {
		p, ok := found[At(strings.Split(key, ".")...).path()]
		line, column := lineAndColumn(text, p.value)
		if got := fmt.Sprintf("%d:%d", line, column); !ok || got != where {
			t.Errorf("%s: got %s (found %v), want %s", key, got, ok, where)
		}
	}
}

// FuzzPlaces holds the finder to the parser: every key of a file that is TOML has a place.
func FuzzPlaces(f *testing.F) {
	f.Add("a = 1\n[b]\nc.d = \"\"\"\n\\\"\"\"\"\"\n[[e]]\nf = { g = [1, 2] }\n")
	f.Add("'a' = '''b'''\n\"\\u0061b\" = 1\n")
	f.Add("a = [\n# ]\n]\nb = {\n c = 1,\n}\n")
	f.Add("[[[")
	f.Fuzz(func(t *testing.T, text string) {
		found := find(text) // ends, whatever it is
		var tree any
		if len(text) > 2000 || tooDeep(text) || strings.ContainsAny(text, "\\\x00") || strings.HasPrefix(text, "\xff\xfe") ||
			strings.HasPrefix(text, "\xfe\xff") {
			return
		}
		if _, err := toml.Decode(text, &tree); err != nil {
			return
		}
		requirePlaces(t, found, nil, tree)
	})
}

func requirePlaces(t *testing.T, found places, k Key, v any) {
	if _, ok := found[k.path()]; !ok && len(k) > 0 {
		t.Errorf("%q has no place", k)
	}
	if table, ok := v.(map[string]any); ok {
		for name, v := range table {
			requirePlaces(t, found, k.Sub(name), v)
		}
	}
	list, _ := elements(v)
	for i, v := range list {
		requirePlaces(t, found, k.Elem(i), v)
	}
}

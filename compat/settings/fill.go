package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Fill lays the values of d over the struct that v points to. Fields are named by their toml tags and may be structs,
// maps, lists, strings, booleans, whole numbers, or types that read themselves from text (encoding.TextUnmarshaler); a
// map is a table that may have any keys; a list of a type that implements OneOrMore may also be written as a single value. A field of type *T is allocated when the
// file has a value. Each element of a list of tables starts as the zero value, or as Defaulter makes it.
//
// Every key that has no field and every value of a wrong type becomes a fault, and the field keeps what it had.
func (d *Document) Fill(v any) {
	root := reflect.ValueOf(v).Elem()
	d.table(nil, d.values, root, root.Type())
}

// Defaulter is a table of a list that does not start as the zero value.
type Defaulter interface{ SetDefault() }

// OneOrMore marks a list for which a single value may stand.
type OneOrMore interface{ OneOrMore() }

var (
	textType      = reflect.TypeFor[encoding.TextUnmarshaler]()
	oneOrMoreType = reflect.TypeFor[OneOrMore]()
)

func (d *Document) table(k Key, values map[string]any, to reflect.Value, root reflect.Type) {
	for name, v := range values {
		sub := k.Sub(name)
		field, ok := fieldOf(to, name)
		if !ok {
			d.fault(sub, true, "unknown key"+hint(root, k, name))
			continue
		}
		d.set(sub, v, field, root)
	}
}

// fieldOf finds the field of a struct by its toml tag.
func fieldOf(s reflect.Value, name string) (reflect.Value, bool) {
	for i := range s.NumField() {
		if s.Type().Field(i).Tag.Get("toml") == name {
			return s.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func (d *Document) set(k Key, v any, to reflect.Value, root reflect.Type) {
	switch {
	case to.Addr().Type().Implements(textType):
		d.setText(k, v, to.Addr().Interface().(encoding.TextUnmarshaler))
	case to.Kind() == reflect.Struct:
		if t, ok := v.(map[string]any); ok {
			d.table(k, t, to, root)
			return
		}
		d.notATable(k, v)
	case to.Kind() == reflect.Map:
		d.setMap(k, v, to, root)
	case to.Kind() == reflect.Slice:
		d.setList(k, v, to, root)
	default:
		d.setScalar(k, v, to)
	}
}

func (d *Document) notATable(k Key, v any) {
	d.Faultf(k, "must be a table, written as [%s] on a line of its own, not %s", k, describe(v))
}

// setMap takes a table whose keys the file chooses, in place of the default.
func (d *Document) setMap(k Key, v any, to reflect.Value, root reflect.Type) {
	values, ok := v.(map[string]any)
	if !ok {
		d.notATable(k, v)
		return
	}
	filled := reflect.MakeMapWithSize(to.Type(), len(values))
	for name, v := range values {
		elem := reflect.New(to.Type().Elem()).Elem()
		d.set(k.Sub(name), v, elem, root)
		filled.SetMapIndex(reflect.ValueOf(name), elem)
	}
	to.Set(filled)
}

func (d *Document) setText(k Key, v any, to encoding.TextUnmarshaler) {
	s, ok := v.(string)
	if !ok {
		// Its own complaint says which form is right.
		example := "a string"
		if err := to.UnmarshalText([]byte("?")); err != nil {
			example, _, _ = strings.Cut(strings.TrimPrefix(err.Error(), "must be "), ", not ")
		}
		d.Faultf(k, "must be %s, in quotes, not %s", example, describe(v))
		return
	}
	if err := to.UnmarshalText([]byte(s)); err != nil {
		d.Faultf(k, "%v", err)
	}
}

func (d *Document) setScalar(k Key, v any, to reflect.Value) {
	want := ""
	switch to.Kind() {
	case reflect.String:
		if s, ok := v.(string); ok {
			to.SetString(s)
			return
		}
		want = "a string in quotes"
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			to.SetBool(b)
			return
		}
		want = "true or false"
	case reflect.Int:
		if n, ok := v.(int64); ok {
			to.SetInt(n)
			return
		}
		want = "a whole number"
	default:
		panic("settings: no rule for a field of type " + to.Type().String())
	}
	d.Faultf(k, "must be %s, not %s", want, describe(v))
}

func (d *Document) setList(k Key, v any, to reflect.Value, root reflect.Type) {
	list, ok := elements(v)
	single := false
	if !ok && to.Type().Implements(oneOrMoreType) {
		list, ok, single = []any{v}, true, true
	}
	elem := to.Type().Elem()
	if !ok {
		want := "a list in brackets"
		if s, ok := v.(string); ok {
			want += fmt.Sprintf(", such as [%q]", shorten(s))
		}
		if elem.Kind() == reflect.Struct && !reflect.PointerTo(elem).Implements(textType) {
			want = fmt.Sprintf("a list of tables, each headed [[%s]]", k)
		}
		d.Faultf(k, "must be %s, not %s", want, describe(v))
		return
	}
	// In place of the default, not behind it. Elements with faults stay, so that numbers go on naming elements.
	filled := reflect.MakeSlice(to.Type(), len(list), len(list))
	for i, v := range list {
		e, at := filled.Index(i), k.Elem(i)
		if single {
			at = k
		}
		if x, ok := e.Addr().Interface().(Defaulter); ok {
			x.SetDefault()
		}
		d.set(at, v, e, root)
	}
	to.Set(filled)
}

// elements gives the two forms in which the parser hands over lists as one.
func elements(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return list, true
	}
	return nil, false
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", shorten(v))
	case bool:
		return fmt.Sprint(v)
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date or time"
}

func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:37], "") + "…"
	}
	return s
}

// hint says where an unknown key may belong: a name like it in the same table, or the same name in another one.
func hint(root reflect.Type, k Key, name string) string {
	here := root
	for _, n := range k.names() {
		here = tableType(here, n)
	}
	names := tagsOf(here)
	if like := DidYouMean(name, names); like != "" {
		return like
	}
	if len(k) > 0 && slices.Contains(tagsOf(root), name) {
		return " (it belongs above the first [table])"
	}
	var tables []string
	for _, n := range tagsOf(root) {
		if t := tableType(root, n); t != nil && slices.Contains(tagsOf(t), name) {
			tables = append(tables, "["+n+"]")
		}
	}
	switch {
	case len(tables) > 0:
		return " (it belongs in " + strings.Join(tables, " or ") + ")"
	case len(names) <= 16:
		return " (known here: " + strings.Join(names, ", ") + ")"
	}
	return ""
}

// tableType is the struct behind the table of that name; nil when there is none.
func tableType(t reflect.Type, name string) reflect.Type {
	if t == nil {
		return nil
	}
	for f := range t.Fields() {
		if f.Tag.Get("toml") != name {
			continue
		}
		ft := f.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct && !reflect.PointerTo(ft).Implements(textType) {
			return ft
		}
	}
	return nil
}

func tagsOf(t reflect.Type) []string {
	var names []string
	if t == nil {
		return nil
	}
	for f := range t.Fields() {
		if tag := f.Tag.Get("toml"); tag != "" {
			names = append(names, tag)
		}
	}
	return names
}

// DidYouMean gives a hint in brackets when one of the known words is much like word, else nothing.
func DidYouMean(word string, known []string) string {
	best, least := "", 1+max(1, len(word)/3)
	for _, w := range known {
		if dist := distance(word, w); dist < least {
			best, least = w, dist
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is how many letters must be put in, left out, replaced or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, last, this := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		this[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			this[j] = min(last[j]+1, this[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				this[j] = min(this[j], before[j-2]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(b)]
}

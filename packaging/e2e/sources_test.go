//go:build e2e

package e2e

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// testSource is the functions and methods in the tests of one folder, by name. Types are not looked at, so methods of one
// name are taken together.
type testSource map[string][]*ast.FuncDecl

// readTests parses the tests of a folder, whatever their build tags.
func readTests(t *testing.T, folder string) testSource {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	s := testSource{}
	for _, name := range files {
		if err := s.add(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// add parses one file: text (string or []byte), or what is in the file where that is nil.
func (s testSource) add(name string, text any) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			s[f.Name.Name] = append(s[f.Name.Name], f)
		}
	}
	return nil
}

// canFail says what keeps name from being a test or fuzz target that can fail: it is not there, go test would not run
// it, it is always skipped, or neither it nor a helper in its folder calls Error, Fatal or the like. That the right thing
// is checked cannot be told from here.
func (s testSource) canFail(name string) error {
	var test *ast.FuncDecl
	for _, f := range s[name] {
		if f.Recv == nil {
			test = f
		}
	}
	switch {
	case test == nil:
		return fmt.Errorf("%s is not there", name)
	case !takes(test, "T", "Test") && !takes(test, "F", "Fuzz"):
		return fmt.Errorf("%s is not what go test runs", name)
	case skipped(test.Body):
		return fmt.Errorf("%s is always skipped", name)
	case !s.fails(test, map[*ast.FuncDecl]bool{}):
		return fmt.Errorf("%s cannot fail", name)
	}
	return nil
}

// takes reports whether f has a name with this prefix, and as its one parameter a pointer to this type of testing.
func takes(f *ast.FuncDecl, typ, prefix string) bool {
	if !strings.HasPrefix(f.Name.Name, prefix) || len(f.Type.Params.List) != 1 {
		return false
	}
	p, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	return ok && ofTesting(p) && p.X.(*ast.SelectorExpr).Sel.Name == typ
}

// skipped reports whether a statement of the body itself, under no condition, skips or returns before the last one.
func skipped(body *ast.BlockStmt) bool {
	for i, stmt := range body.List {
		switch stmt := stmt.(type) {
		case *ast.ReturnStmt:
			return i < len(body.List)-1
		case *ast.ExprStmt:
			call, ok := stmt.X.(*ast.CallExpr)
			if !ok {
				continue
			}
			switch called(call) {
			case "Skip", "Skipf", "SkipNow":
				return true
			}
			for _, arg := range call.Args { // t.Run and its like
				if f, ok := arg.(*ast.FuncLit); ok && skipped(f.Body) {
					return true
				}
			}
		}
	}
	return false
}

// fails reports whether f, or what it calls of the same folder, can say that the test failed.
func (s testSource) fails(f *ast.FuncDecl, seen map[*ast.FuncDecl]bool) bool {
	if seen[f] {
		return false
	}
	seen[f] = true
	ts := map[string]bool{"t": true} // also the field of a helper
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				ts[name.Name] = ts[name.Name] || ofTesting(n.Type)
			}
		case *ast.CallExpr:
			found = found || complains(n, ts)
			for _, f := range s[called(n)] {
				found = found || s.fails(f, seen)
			}
		}
		return !found
	})
	return found
}

// ofTesting reports whether a type is *testing.T, testing.TB or the like.
func ofTesting(typ ast.Expr) bool {
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	sel, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "testing"
}

// complains reports whether the call is t.Error or the like, where ts are the names of a t.
func complains(call *ast.CallExpr, ts map[string]bool) bool {
	switch called(call) {
	case "Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow":
	default:
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch x := sel.X.(type) {
	case *ast.Ident:
		return ts[x.Name]
	case *ast.SelectorExpr:
		return ts[x.Sel.Name]
	}
	return false
}

// called is the name of what is called, without what it belongs to.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// A test that has a name and nothing else is found out.
func TestCanFail(t *testing.T) {
	const source = `package x
func TestPlain(t *testing.T) { if 1 > 2 { t.Error("x") } }
func TestWithin(t *testing.T) { t.Run("a", func(sub *testing.T) { sub.Fatalf("x") }) }
func TestHelper(t *testing.T) { first(t) }
func TestMethod(t *testing.T) { w.check(t) }
func FuzzPlain(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { check(t) }) }
func TestMaySkip(t *testing.T) { if x { t.Skip() }; t.Error("x") }
func TestEmpty(t *testing.T) {}
func TestSpeaks(t *testing.T) { t.Log(err.Error()); _ = fmt.Errorf("x") }
func TestInCircles(t *testing.T) { round(t) }
func TestSkips(t *testing.T) { t.Skip("later"); t.Error("x") }
func TestSkipsWithin(t *testing.T) { inside.Run(t, func(t *testing.T) { t.SkipNow(); t.Error("x") }) }
func TestReturns(t *testing.T) { return; t.Error("x") }
func TestOfNobody() { t.Error("x") }
func (w world) TestMethodOnly(t *testing.T) { t.Error("x") }
func first(t *testing.T) { second(t) }
func second(t *testing.T) { first(t); t.FailNow() }
func round(t *testing.T) { round(t) }
func (w world) check(t *testing.T) { t.Error("x") }
`
	s := testSource{}
	if err := s.add("x_test.go", source); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"TestPlain": "", "TestWithin": "", "TestHelper": "", "TestMethod": "", "FuzzPlain": "", "TestMaySkip": "",
		"TestNone": "not there", "TestMethodOnly": "not there", "TestOfNobody": "not what go test runs", "first": "not what go test runs",
		"TestEmpty": "cannot fail", "TestSpeaks": "cannot fail", "TestInCircles": "cannot fail",
		"TestSkips": "always skipped", "TestSkipsWithin": "always skipped", "TestReturns": "always skipped",
	} {
		err := s.canFail(name)
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.HasSuffix(got, want) && want != "" {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

package proc

// Verify tells whether Launch would take the executable at path with that
// digest: who could have written it, its mode, its content.
func Verify(path, sha256 string) error {
	f, err := openPinned(path, sha256)
	if err != nil {
		return err
	}
	return f.Close()
}

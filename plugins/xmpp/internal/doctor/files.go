package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/upload"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// fileCheck checks the upload service.
type fileCheck struct {
	o *Options
	r *Report
	c *connection
}

// run uploads a small file and reads it back (XEP-0363).
func (f fileCheck) run(ctx context.Context) {
	s, err := upload.Find(ctx, f.c, f.c.from, f.o.Server, f.o.Upload)
	if err != nil {
		fact := "has no upload service (XEP-0363): files that the bridge holds cannot be shown"
		if sdk.KindOf(err) != sdk.Unsupported {
			fact = said(err)
		}
		f.r.add("upload", f.o.Server, Fail, fact, uploadRemedies(f.o)...)
		return
	}
	fact := "takes files"
	if s.MaxSize > 0 {
		fact = fmt.Sprintf("takes files of up to %d KiB", s.MaxSize/1024)
	}
	f.r.add("upload", s.Address, OK, fact)
	up := upload.New(f.c, upload.Options{Server: f.o.Server, Service: s.Address, Guard: f.o.Guard, Plain: true, RootCAs: f.o.Roots, Timeout: 3 * f.o.Timeout})
	defer up.Close()
	text := "bridgehost doctor, " + f.o.Now().UTC().Format(time.RFC3339Nano) + "\n"
	address, fault := up.Upload(ctx, f.c.from, sdk.Media{Data: []byte(text), Name: "bridgehost-doctor.txt", Type: "text/plain"})
	if fault != nil {
		f.failed(s.Address, fault)
		return
	}
	fetch := upload.NewGuarded(f.o.Guard, f.o.Timeout, "bridgehost doctor")
	defer fetch.Close()
	if err := readBack(ctx, fetch, address, text); err != nil {
		f.r.add("upload-read", s.Address, Fail, "what was uploaded cannot be read: "+cause(err))
		return
	}
	if strings.HasPrefix(address, "http:") && !f.o.UploadPlain {
		f.r.add("upload-read", s.Address, Warn, "a file was uploaded and read, but its address is not encrypted, and many clients refuse it",
			prosody("the global part", `http_external_url = "https://upload.`+f.o.Server+`/"`).remark("with a proxy in front that has a certificate, or with https_ports and a certificate for that name."),
			ejabberd("modules:", "mod_http_upload:", `  put_url: "https://@HOST@:5443/upload"`))
		return
	}
	f.r.add("upload-read", s.Address, OK, "a file was uploaded and read back")
}

// failed explains an upload that did not work.
func (f fileCheck) failed(service string, fault *sdk.Error) {
	var blocked *netguard.BlockedError
	switch {
	case errors.As(fault, &blocked):
		f.r.add("upload-read", service, Fail, "uploads would go to "+blocked.Addr+", which is no public address, so the bridge refuses",
			prosody("the global part", `http_external_url = "https://upload.`+f.o.Server+`/"`),
			ejabberd("modules:", "mod_http_upload:", `  put_url: "https://@HOST@:5443/upload"`),
			Remedy{Server: "bridgehost", Where: "[link." + f.o.Link + ".config.upload]", Lines: []string{`allow = ["` + hostOf(blocked.Addr) + `"]`}, Remark: "if that is the machine of your own server."})
	case fault.Kind == sdk.Forbidden, fault.Kind == sdk.Unsupported:
		f.r.add("upload-read", service, Fail, "does not let the bridge upload: "+said(fault),
			prosody(`Component "`+service+`" "http_file_share"`, fmt.Sprintf("http_file_share_access = { %q, %q }", f.o.Server, f.o.Stream.Domain)),
			uploadRemedies(f.o)[1])
	default:
		f.r.add("upload-read", service, Fail, "does not take a file: "+said(fault))
	}
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _ := portOf(address, "")
	return host
}

// readBack compares what an address gives.
func readBack(ctx context.Context, fetch upload.Fetcher, address, want string) error {
	body, _, err := fetch.Fetch(ctx, address, int64(len(want)))
	if err != nil {
		return err
	}
	got, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	if string(got) != want {
		return errors.New("it is not what was sent")
	}
	return nil
}

// sorted gives a list in order.
func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

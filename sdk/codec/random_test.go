package codec

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"time"

	"bridgehost/sdk"
)

// changes holds one value of each kind of change.
var changes = []sdk.Change{
	sdk.ItemCreated{}, sdk.ItemUpdated{}, sdk.ItemRetracted{}, sdk.ReactionsSet{}, sdk.Shared{}, sdk.Unshared{},
	sdk.Voted{}, sdk.RSVPSet{}, sdk.FollowAsked{}, sdk.FollowAnswered{}, sdk.Unfollowed{}, sdk.ActorUpdated{},
	sdk.ActorMoved{}, sdk.ActorGone{}, sdk.MemberChanged{}, sdk.ConversationUpdated{}, sdk.Blocked{},
	sdk.Unblocked{}, sdk.Reported{}, sdk.Signal{},
}

// enums holds the number of values of each enumeration.
var enums = map[reflect.Type]int{
	reflect.TypeFor[sdk.ActorKind](): 4, reflect.TypeFor[sdk.Consent](): 3, reflect.TypeFor[sdk.SpanKind](): 11,
	reflect.TypeFor[sdk.Visibility](): 5, reflect.TypeFor[sdk.ChangeKind](): 21, reflect.TypeFor[sdk.Membership](): 6,
	reflect.TypeFor[sdk.SignalKind](): 4, reflect.TypeFor[sdk.Kind](): 13, reflect.TypeFor[sdk.OutcomeState](): 5,
	reflect.TypeFor[sdk.Verb](): 4, reflect.TypeFor[sdk.ConversationKind](): 5, reflect.TypeFor[sdk.State](): 5,
}

// fill sets v to a random value that survives the wire as it is: empty lists
// are nil, times are in UTC.
func fill(r *rand.Rand, v reflect.Value) {
	if r.IntN(5) == 0 && v.Kind() != reflect.Struct {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		if r.IntN(4) > 0 {
			v.Set(reflect.ValueOf(time.Unix(0, 1+r.Int64N(1<<62)).UTC()))
		}
		return
	case reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{127, 0, 0, byte(r.Uint32())})))
		return
	case reflect.TypeFor[*sdk.Error]():
		v.Set(reflect.ValueOf(&sdk.Error{Op: "op", Kind: sdk.Kind(r.IntN(13)), Public: "public",
			After: time.Duration(r.Int64()), Err: errors.New("cause")}))
		return
	case reflect.TypeFor[sdk.Change]():
		c := reflect.New(reflect.TypeOf(changes[r.IntN(len(changes))])).Elem()
		fill(r, c)
		v.Set(c)
		return
	}
	if n, ok := enums[v.Type()]; ok {
		v.SetUint(uint64(r.IntN(n)))
		return
	}
	fillKind(r, v)
}

func fillKind(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s%dß…", r.IntN(1000)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() - r.Int64())
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Slice:
		n := r.IntN(3) + 1
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) + 1 {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillKind(r, k)
			fillKind(r, e)
			v.SetMapIndex(k, e)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	default:
		panic("no random " + v.Type().String())
	}
}

// random makes a random T from a seed.
func random[T any](seed uint64) T {
	var v T
	fill(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(&v).Elem())
	return v
}

// fillSeed fills a settable value from a seed.
func fillSeed(seed uint64, v reflect.Value) { fill(rand.New(rand.NewPCG(seed, 1)), v) }

package keys

import (
	"errors"
	"slices"
)

// alphabet is that of base58btc (draft-msporny-base58-03 §2).
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// maxBase58 bounds what is decoded: the work grows with the square of the length, and a key of 4,096 bits has some 720 characters.
const maxBase58 = 1600

var errBase58 = errors.New("not base58btc in multibase")

// EncodeMultibase writes bytes as multibase with base58btc: a z and the digits.
func EncodeMultibase(b []byte) string {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	digits := make([]byte, 0, len(b)*138/100+1) // of base 58, the lowest first
	for _, c := range b[zeros:] {
		carry := int(c)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	out := make([]byte, 0, 1+zeros+len(digits))
	out = append(out, 'z')
	for range zeros {
		out = append(out, alphabet[0])
	}
	for _, d := range slices.Backward(digits) {
		out = append(out, alphabet[d])
	}
	return string(out)
}

// DecodeMultibase reads multibase with base58btc; other bases are refused, as FEP-521a and eddsa-jcs-2022 ask for this one.
func DecodeMultibase(s string) ([]byte, error) {
	if len(s) < 2 || len(s) > maxBase58 || s[0] != 'z' {
		return nil, errBase58
	}
	s = s[1:]
	zeros := 0
	for zeros < len(s) && s[zeros] == alphabet[0] {
		zeros++
	}
	var low []byte // of base 256, the lowest first
	for i := zeros; i < len(s); i++ {
		carry := digit58(s[i])
		if carry < 0 {
			return nil, errBase58
		}
		for j := range low {
			carry += int(low[j]) * 58
			low[j] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			low = append(low, byte(carry))
		}
	}
	slices.Reverse(low)
	return append(make([]byte, zeros), low...), nil
}

func digit58(c byte) int {
	for i := range len(alphabet) {
		if alphabet[i] == c {
			return i
		}
	}
	return -1
}

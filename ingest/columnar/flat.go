package columnar

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// flat is a table in a FlatBuffers message, read with every offset checked. It
// exists for what arrow does not check before it recurses into the fields of a
// schema and makes room for them.
type flat struct {
	data []byte
	pos  int64
}

var errFlat = errors.New("is damaged: its metadata point outside themselves")

// flatRoot is the table that the message is.
func flatRoot(data []byte) (flat, error) { return flat{data, 0}.follow(0) }

// u32 reads at an absolute position.
func (t flat) u32(at int64) (uint32, error) {
	if at < 0 || at > int64(len(t.data))-4 {
		return 0, errFlat
	}
	return binary.LittleEndian.Uint32(t.data[at:]), nil
}

// follow goes to the table to which the offset at an absolute position points.
func (t flat) follow(at int64) (flat, error) {
	off, err := t.u32(at)
	if err != nil {
		return flat{}, err
	}
	to := flat{t.data, at + int64(off)}
	_, err = to.u32(to.pos)
	return to, err
}

// slot finds field n of the table: its absolute position, 0 where it is absent.
func (t flat) slot(n int64) (int64, error) {
	back, err := t.u32(t.pos)
	if err != nil {
		return 0, err
	}
	vtable := t.pos - int64(int32(back))
	head, err := t.u32(vtable) // two sizes, of the vtable and of the table
	if err != nil {
		return 0, err
	}
	entry := 4 + 2*n
	if entry >= int64(head&0xffff) { // as arrow has it, for odd sizes too
		return 0, nil
	}
	if vtable+entry >= int64(len(t.data)) {
		return 0, errFlat
	}
	off := binary.LittleEndian.Uint16(t.data[vtable+entry:])
	if off == 0 {
		return 0, nil
	}
	return t.pos + int64(off), nil
}

func (t flat) uint8(n int64) (uint8, error) {
	at, err := t.slot(n)
	if err != nil || at == 0 {
		return 0, err
	}
	if at >= int64(len(t.data)) {
		return 0, errFlat
	}
	return t.data[at], nil
}

func (t flat) int64(n int64) (int64, error) {
	at, err := t.slot(n)
	if err != nil || at == 0 {
		return 0, err
	}
	if at > int64(len(t.data))-8 {
		return 0, errFlat
	}
	return int64(binary.LittleEndian.Uint64(t.data[at:])), nil
}

// tables is a vector of tables in field n: the position of its first entry and
// their number. All entries lie in the message.
func (t flat) tables(n int64) (at int64, count int64, err error) {
	at, err = t.slot(n)
	if err != nil || at == 0 {
		return 0, 0, err
	}
	v, err := t.follow(at)
	if err != nil {
		return 0, 0, err
	}
	length, err := v.u32(v.pos)
	if err != nil {
		return 0, 0, err
	}
	if v.pos+4+4*int64(length) > int64(len(t.data)) {
		return 0, 0, errFlat
	}
	return v.pos + 4, int64(length), nil
}

// maxFields bounds the fields of a schema, nested ones included. A run has 27.
const maxFields = 1000

// Fields of the tables Schema and Field (Arrow's Schema.fbs), and the types that
// a run has.
const (
	messageHeader  = 2
	schemaFields   = 1
	schemaMetadata = 2
	fieldType      = 2
	fieldDict      = 4
	fieldChildren  = 5
	fieldMetadata  = 6

	typeInt, typeUtf8, typeBool, typeList, typeStruct, typeDuration = 2, 5, 6, 12, 13, 18
)

// checkFields walks over the fields of a schema message.
func checkFields(message flat) error {
	at, err := message.slot(messageHeader)
	if err != nil {
		return err
	}
	schema, err := message.follow(at)
	if err != nil {
		return err
	}
	if _, _, err := schema.tables(schemaMetadata); err != nil {
		return err
	}
	left := maxFields
	return schema.checkChildren(schemaFields, &left)
}

// checkChildren walks over the fields in vector n and below, *left of them at most:
// offsets may lead in circles.
func (t flat) checkChildren(n int64, left *int) error {
	at, count, err := t.tables(n)
	if err != nil {
		return err
	}
	for i := range count {
		if *left--; *left < 0 {
			return fmt.Errorf("is no run: its schema has more than %d fields", maxFields)
		}
		field, err := t.follow(at + 4*i)
		if err != nil {
			return err
		}
		if err := field.checkField(); err != nil {
			return err
		}
		if err := field.checkChildren(fieldChildren, left); err != nil {
			return err
		}
	}
	return nil
}

func (t flat) checkField() error {
	kind, err := t.uint8(fieldType)
	if err != nil {
		return err
	}
	switch kind {
	case typeInt, typeUtf8, typeBool, typeList, typeStruct, typeDuration:
	default:
		return fmt.Errorf("is an Arrow file, but not a run: it has columns of a type (%d) that no run has; make runs with leakformer ingest", kind)
	}
	if dict, err := t.slot(fieldDict); err != nil || dict != 0 {
		return errors.Join(err, errors.New("is an Arrow file, but not a run: it has dictionary columns; make runs with leakformer ingest"))
	}
	_, _, err = t.tables(fieldMetadata)
	return err
}

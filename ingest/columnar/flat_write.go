package columnar

import flatbuffers "github.com/google/flatbuffers/go"

// What Arrow's Message.fbs and File.fbs demand of the tables that a run needs: fields
// by number, and two kinds of structs without a table.

const (
	metadataV5 = 4 // the version of all tables
	codecZSTD  = 1
)

// batchMessage describes a record batch: the rows and nulls of each column, and
// where in the body each buffer begins and how long it is.
func batchMessage(b *flatbuffers.Builder, rows int, columns, buffers [][2]int64, body int) []byte {
	b.Reset()
	b.StartObject(2) // BodyCompression
	b.PrependInt8Slot(0, codecZSTD, 0)
	compression := b.EndObject()
	columnsAt, buffersAt := pairs(b, columns), pairs(b, buffers)
	b.StartObject(5) // RecordBatch
	b.PrependInt64Slot(0, int64(rows), 0)
	b.PrependUOffsetTSlot(1, columnsAt, 0)
	b.PrependUOffsetTSlot(2, buffersAt, 0)
	b.PrependUOffsetTSlot(3, compression, 0)
	batch := b.EndObject()
	b.StartObject(5) // Message
	b.PrependInt16Slot(0, metadataV5, 0)
	b.PrependByteSlot(1, headerBatch, 0)
	b.PrependUOffsetTSlot(messageHeader, batch, 0)
	b.PrependInt64Slot(3, int64(body), 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

// pairs is a vector of structs of two 64-bit numbers (FieldNode, Buffer).
func pairs(b *flatbuffers.Builder, v [][2]int64) flatbuffers.UOffsetT {
	b.StartVector(16, len(v), 8)
	for i := len(v) - 1; i >= 0; i-- {
		b.Prep(8, 16)
		b.PlaceInt64(v[i][1])
		b.PlaceInt64(v[i][0])
	}
	return b.EndVector(len(v))
}

// footer says where the record batches are, and repeats the schema. All offsets in
// a table are relative, so that the message of the schema is taken in as it is.
func footer(schema []byte, blocks []block) ([]byte, error) {
	message, err := flatRoot(schema)
	if err != nil {
		return nil, err
	}
	at, err := message.slot(messageHeader)
	if err != nil {
		return nil, err
	}
	table, err := message.follow(at)
	if err != nil {
		return nil, err
	}
	b := flatbuffers.NewBuilder(len(schema) + 24*len(blocks) + 256)
	b.StartVector(1, len(schema), 8)
	for i := len(schema) - 1; i >= 0; i-- {
		b.PlaceByte(schema[i])
	}
	start := b.Offset()
	b.EndVector(len(schema))
	b.StartVector(24, len(blocks), 8)
	for i := len(blocks) - 1; i >= 0; i-- {
		b.Prep(8, 24) // Block
		b.PlaceInt64(int64(blocks[i].body))
		b.Pad(4)
		b.PlaceInt32(int32(blocks[i].message))
		b.PlaceInt64(blocks[i].at)
	}
	batches := b.EndVector(len(blocks))
	b.StartObject(5) // Footer
	b.PrependInt16Slot(0, metadataV5, 0)
	b.PrependUOffsetTSlot(1, start-flatbuffers.UOffsetT(table.pos), 0)
	b.PrependUOffsetTSlot(3, batches, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes(), nil
}

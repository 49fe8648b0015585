/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope's payload field is written by hand after the rest of the envelope (fields may come
 * in any order), so that the inner message is packed once, in its final place.
 */
#include "common/ttrpc_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/ttrpc.pb-c.h"
#include "common/utf8.h"

/* Tags of the payload fields: number << 3 | 2 (length-delimited). */
#define REQUEST_PAYLOAD_TAG (3u << 3 | 2u)
#define RESPONSE_PAYLOAD_TAG (2u << 3 | 2u)
#define NS_PER_MS UINT64_C(1000000)
/* What the allocator itself adds to each piece. */
#define ALLOCATION_OVERHEAD 16u

/* ---- unpacking ---- */

struct budget {
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left || budget->left - size < ALLOCATION_OVERHEAD)
		return NULL;
	budget->left -= size + ALLOCATION_OVERHEAD;
	return malloc(size);
}

static void budget_free(void *data, void *p)
{
	free(p);
}

ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
			      size_t len)
{
	struct budget budget = { .left = WIRE_MEMORY_MAX };
	ProtobufCAllocator allocator = {
		.alloc = budget_alloc, .free = budget_free, .allocator_data = &budget,
	};
	static const uint8_t nothing[1];

	return protobuf_c_message_unpack(type, &allocator, len, bytes ? bytes : nothing);
}

/* ---- packing ---- */

static size_t varint_len(size_t n)
{
	size_t len = 1;

	while (n >>= 7)
		len++;
	return len;
}

static uint8_t *put_varint(uint8_t *p, size_t n)
{
	for (; n >= 0x80; n >>= 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

/* One frame of @envelope followed by @message in the field @payload_tag. */
static int pack_enveloped(uint32_t stream, enum ttrpc_frame_type type,
			  const ProtobufCMessage *envelope, uint8_t payload_tag,
			  const ProtobufCMessage *message, struct ttrpc_packet **ret)
{
	size_t outer = protobuf_c_message_get_packed_size(envelope);
	size_t inner = message ? protobuf_c_message_get_packed_size(message) : 0;
	size_t total = outer + (inner ? 1 + varint_len(inner) + inner : 0);
	struct ttrpc_packet *packet;
	uint8_t *p;

	if (inner > TTRPC_PAYLOAD_MAX || total > TTRPC_PAYLOAD_MAX)
		return -EMSGSIZE;
	packet = ttrpc_packet_new(stream, type, total);
	if (!packet)
		return -ENOMEM;
	p = packet->bytes + TTRPC_HEADER_BYTES;
	p += protobuf_c_message_pack(envelope, p);
	if (inner) {
		*p++ = payload_tag;
		p = put_varint(p, inner);
		protobuf_c_message_pack(message, p);
	}
	*ret = packet;
	return 0;
}

int wire_pack_request(uint32_t stream, const char *service, const char *method, uint64_t timeout_ms,
		      const ProtobufCMessage *message, struct ttrpc_packet **ret)
{
	Onggi__Ttrpc__Request envelope = ONGGI__TTRPC__REQUEST__INIT;

	envelope.service = (char *)service;
	envelope.method = (char *)method;
	envelope.timeout_nano =
		timeout_ms > INT64_MAX / NS_PER_MS ? INT64_MAX : (int64_t)(timeout_ms * NS_PER_MS);
	return pack_enveloped(stream, TTRPC_FRAME_REQUEST, &envelope.base, REQUEST_PAYLOAD_TAG,
			      message, ret);
}

int wire_pack_reply(uint32_t stream, const ProtobufCMessage *message, struct ttrpc_packet **ret)
{
	Onggi__Ttrpc__Response envelope = ONGGI__TTRPC__RESPONSE__INIT;

	return pack_enveloped(stream, TTRPC_FRAME_RESPONSE, &envelope.base, RESPONSE_PAYLOAD_TAG,
			      message, ret);
}

int wire_pack_status(uint32_t stream, enum ttrpc_code code, const char *text,
		     struct ttrpc_packet **ret)
{
	Onggi__Ttrpc__Response envelope = ONGGI__TTRPC__RESPONSE__INIT;
	Onggi__Ttrpc__Status status = ONGGI__TTRPC__STATUS__INIT;
	char clean[ERR_TEXT_MAX];

	snprintf(clean, sizeof(clean), "%s", text);
	utf8_scrub(clean);
	status.code = (int32_t)code;
	status.message = clean;
	envelope.status = &status;
	return pack_enveloped(stream, TTRPC_FRAME_RESPONSE, &envelope.base, RESPONSE_PAYLOAD_TAG,
			      NULL, ret);
}

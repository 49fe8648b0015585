/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc_wire.h - from messages to frames and back; private to ttrpc_*.c
 *
 * Peer:     untrusted: unpacking stops at WIRE_MEMORY_MAX, since a message of empty entries would
 *           otherwise take a hundred times its size.
 * Rule:     texts sent are well-formed UTF-8, as other implementations refuse anything else.
 */
#ifndef ONGGI_COMMON_TTRPC_WIRE_H
#define ONGGI_COMMON_TTRPC_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"

/* Memory that one message may take when unpacked. */
#define WIRE_MEMORY_MAX (32u << 20)

/*
 * Unpack @len bytes; NULL if they are no such message or take too much memory.
 * Freed with protobuf_c_message_free_unpacked(message, NULL).
 */
ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
			      size_t len);

/*
 * Pack frames. Return 0 and a packet for ttrpc_writer_add, or -EMSGSIZE when the payload would
 * exceed TTRPC_PAYLOAD_MAX, -ENOMEM.
 */
int wire_pack_request(uint32_t stream, const char *service, const char *method, uint64_t timeout_ms,
		      const ProtobufCMessage *message, struct ttrpc_packet **ret);
int wire_pack_reply(uint32_t stream, const ProtobufCMessage *message, struct ttrpc_packet **ret);
/* @text is cut at ERR_TEXT_MAX bytes. */
int wire_pack_status(uint32_t stream, enum ttrpc_code code, const char *text,
		     struct ttrpc_packet **ret);

#endif

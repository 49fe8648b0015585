/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.h - one message type, chosen by the first byte, against arbitrary bytes
 *
 * What is accepted must pack into bytes that are accepted again and mean the same; fields that the
 * type does not have are set aside first, as protobuf-c packs one of number 0 in a form that it
 * refuses itself.
 */
#ifndef ONGGI_TESTS_FUZZ_MESSAGES_H
#define ONGGI_TESTS_FUZZ_MESSAGES_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ttrpc_wire.h"

static inline void messages_drop_unknown(ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field;
	size_t i, j, n;
	char *at;

	for (i = 0; i < message->n_unknown_fields; i++)
		free(message->unknown_fields[i].data);
	free(message->unknown_fields);
	message->unknown_fields = NULL;
	message->n_unknown_fields = 0;
	for (i = 0; i < message->descriptor->n_fields; i++) {
		field = &message->descriptor->fields[i];
		at = (char *)message + field->offset;
		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			if (*(ProtobufCMessage **)at)
				messages_drop_unknown(*(ProtobufCMessage **)at);
			continue;
		}
		n = *(const size_t *)((char *)message + field->quantifier_offset);
		for (j = 0; j < n; j++)
			messages_drop_unknown((*(ProtobufCMessage ***)at)[j]);
	}
}

static inline uint8_t *messages_pack(const ProtobufCMessage *message, size_t *ret_len)
{
	uint8_t *bytes;

	*ret_len = protobuf_c_message_get_packed_size(message);
	bytes = malloc(*ret_len ? *ret_len : 1);
	assert(bytes);
	assert(protobuf_c_message_pack(message, bytes) == *ret_len);
	return bytes;
}

static inline void messages_check(const ProtobufCMessageDescriptor *const *types, size_t n_types,
				  const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message, *again;
	uint8_t *first, *second;
	size_t first_len, second_len;

	if (size == 0)
		return;
	type = types[data[0] % n_types];
	message = wire_unpack(type, data + 1, size - 1);
	if (!message)
		return;
	assert(protobuf_c_message_check(message));
	messages_drop_unknown(message);
	first = messages_pack(message, &first_len);
	again = wire_unpack(type, first, first_len);
	assert(again);
	second = messages_pack(again, &second_len);
	assert(second_len == first_len && memcmp(first, second, first_len) == 0);
	protobuf_c_message_free_unpacked(again, NULL);
	protobuf_c_message_free_unpacked(message, NULL);
	free(first);
	free(second);
}

#endif

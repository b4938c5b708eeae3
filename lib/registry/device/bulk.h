/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_DEVICE_BULK_H
#define CPR_REGISTRY_DEVICE_BULK_H

#include "registry/device/device.h"

/* A device's bulk data: with a writer while it is saved, with a reader while it is loaded. */
struct _CprBulk
{
  const char *device;
  CprWriter *writer;
  uint64_t written;

  CprReader *reader;
  guint next;      /* the chunk to read next */
  uint64_t left;   /* of all pieces */
  uint8_t *buffer; /* a piece that the callback reads in parts */
  size_t buffered, taken;
};

/* Begins reading a device's data. */
void cpr_bulk_open (CprBulk *bulk, CprReader *reader, const CprBulkData *data);
void cpr_bulk_clear (CprBulk *bulk);

/* Completes the error of a callback that failed. A callback that gave no reason is a bug of the
 * VMM, but the operator still has to learn which one it was. */
bool cpr_device_callback_failed (const CprDevice *device, const char *callback, GError **error);

#endif

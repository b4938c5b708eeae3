/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_DEVICE_BULK_H
#define CPR_REGISTRY_DEVICE_BULK_H

#include "registry/device/device.h"

/* A device's bulk data: while it is saved with a writer, while it is loaded with a reader. */
struct _CprBulk
{
  const char *device;
  CprWriter *writer;
  uint64_t written;

  CprReader *reader;
  guint next;      /* the piece that is read next */
  uint64_t left;   /* of all pieces */
  uint8_t *buffer; /* a piece that was asked for in parts */
  size_t buffered, taken;
};

/* For reading a device's data. */
void cpr_bulk_open (CprBulk *bulk, CprReader *reader, const CprBulkData *data);
void cpr_bulk_clear (CprBulk *bulk);

/* A callback that fails without saying why is a bug of the VMM that an operator should still be
 * able to read. */
bool cpr_device_callback_failed (const CprDevice *device, const char *callback, GError **error);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The power supply: the guest switches the machine off by ACPI's PM1a control register, and
 * resets it by the register that the FADT names, or the keyboard controller's old way. */
#include "devices/power.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/layout.h"
#include "support/error.h"

#define CONTROL_SCI_ENABLE   0x0001
#define CONTROL_SLEEP_TYPE   0x1c00
#define CONTROL_SLEEP_ENABLE 0x2000
#define RESET_CPU            0x04
#define KEYBOARD_RESET       0xfe

struct _Power
{
  pthread_mutex_t mutex;
  int fd;

  uint16_t status, enable, control; /* PM1a */
  uint32_t wish;
};

static const CprField power_fields[] = {
  CPR_FIELD (Power, status),
  CPR_FIELD (Power, enable),
  CPR_FIELD (Power, control),
  CPR_FIELD (Power, wish),
  CPR_FIELD_END,
};

static void
tell_main_loop (const Power *power)
{
  const uint64_t one = 1;
  ssize_t written = write (power->fd, &one, sizeof one);

  g_assert (written == sizeof one);
}

/* An update may have come between the guest's wish and the main loop. */
static bool
power_post_load (void *data, uint32_t version, GError **error)
{
  const Power *power = data;

  if (power->wish != POWER_ON)
    tell_main_loop (power);
  return true;
}

static const CprDeviceType power_type = {
  .size = sizeof (CprDeviceType),
  .name = "acpi-power",
  .version = 1,
  .minimum_version = 1,
  .state = { "Power", sizeof (Power), power_fields },
  .post_load = power_post_load,
};

static void
wish (Power *power, PowerWish what)
{
  pthread_mutex_lock (&power->mutex);
  power->wish = what;
  pthread_mutex_unlock (&power->mutex);
  tell_main_loop (power);
}

/* ---- PM1a: status and enable are one block, and control is the other. */

static void
write_event (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  Power *power = device;

  if (size != 2)
    return;
  pthread_mutex_lock (&power->mutex);
  if (offset == 0)
    power->status &= (uint16_t) ~value; /* a one clears a bit */
  else
    power->enable = (uint16_t) value;
  pthread_mutex_unlock (&power->mutex);
}

static uint64_t
read_event (void *device, uint64_t offset, unsigned size)
{
  Power *power = device;

  pthread_mutex_lock (&power->mutex);
  uint64_t value = power->status | (uint64_t) power->enable << 16;
  pthread_mutex_unlock (&power->mutex);
  return value >> (8 * offset);
}

static const BusDevice event_block = { write_event, read_event };

static void
write_control (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  Power *power = device;

  if (offset != 0 || size != 2)
    return;
  pthread_mutex_lock (&power->mutex);
  power->control = (uint16_t) value & ~CONTROL_SLEEP_ENABLE;
  pthread_mutex_unlock (&power->mutex);
  if (value & CONTROL_SLEEP_ENABLE && (value & CONTROL_SLEEP_TYPE) >> 10 == SLEEP_TYPE_S5)
    wish (power, POWER_OFF);
}

/* There is no other mode than ACPI's. */
static uint64_t
read_control (void *device, uint64_t offset, unsigned size)
{
  Power *power = device;

  pthread_mutex_lock (&power->mutex);
  uint64_t value = power->control | CONTROL_SCI_ENABLE;
  pthread_mutex_unlock (&power->mutex);
  return value >> (8 * offset);
}

static const BusDevice control_block = { write_control, read_control };

/* ---- Reset. */

static void
write_reset (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  if (value & RESET_CPU)
    wish (device, POWER_RESET);
}

static void
write_keyboard (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  if ((uint8_t) value == KEYBOARD_RESET)
    wish (device, POWER_RESET);
}

static uint64_t
read_nothing (void *device, uint64_t offset, unsigned size)
{
  return 0;
}

static const BusDevice reset_port = { write_reset, read_nothing };
static const BusDevice keyboard_port = { write_keyboard, read_nothing };

Power *
power_new (CprSession *session, Bus *bus, GError **error)
{
  Power *power = g_new0 (Power, 1);

  pthread_mutex_init (&power->mutex, NULL);
  power->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (power->fd < 0)
    throw_errno (error, "power: eventfd");
  if (power->fd < 0 || !cpr_device_add (session, "power", &power_type, power, error))
    return NULL;
  bus_add (bus, BUS_PORTS, PM_EVENT_PORT, 4, &event_block, power);
  bus_add (bus, BUS_PORTS, PM_CONTROL_PORT, 2, &control_block, power);
  bus_add (bus, BUS_PORTS, RESET_PORT, 1, &reset_port, power);
  bus_add (bus, BUS_PORTS, KEYBOARD_PORT, 1, &keyboard_port, power);
  return power;
}

void
power_reset (Power *power)
{
  wish (power, POWER_RESET);
}

PowerWish
power_get_wish (const Power *power)
{
  return (PowerWish) power->wish;
}

int
power_get_fd (const Power *power)
{
  return power->fd;
}

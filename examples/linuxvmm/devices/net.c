/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtio network card on a tap interface, with one pair of queues: section 5.1 of the virtio
 * specification 1.2. The main program makes one for --net.
 *
 * A frame goes from the tap into the guest's buffer, or from there into the tap, by one system call
 * inside the gate, and the buffer is given back before the gate is left. So no frame is under way
 * in an update. Frames that come meanwhile wait in the tap's own queue. The fd survives, and with
 * it the interface, its address and what was negotiated. */
#include "devices/net.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

enum
{
  RECEIVE,
  SEND,
  N_QUEUES
};

/* No GUEST_TSO: each of the guest's buffers would have to be 64 KiB. */
#define FEATURES                                                                            \
  (1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_MAC | \
   1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 | 1ULL << VIRTIO_NET_F_STATUS)
#define DEFAULT_MAC                    \
  {                                    \
    0x52, 0x54, 0x00, 0x43, 0x50, 0x52 \
  }

struct _Net
{
  VirtioType type;
  struct virtio_net_config config;
  int fd;

  pthread_mutex_t mutex; /* of what follows */
  uint64_t received, sent;
};

static const CprField net_fields[] = {
  CPR_FIELD (Net, received),
  CPR_FIELD (Net, sent),
  CPR_FIELD_END,
};

static const CprDeviceType net_type = {
  .size = sizeof (CprDeviceType),
  .name = "net",
  .version = 1,
  .minimum_version = 1,
  .state = { "Net", sizeof (Net), net_fields },
};

/* ---- Frames. Each has a header in front, the same for the tap and for the guest. */

static void
count (Net *net, uint64_t *counter)
{
  pthread_mutex_lock (&net->mutex);
  (*counter)++;
  pthread_mutex_unlock (&net->mutex);
}

/* A frame is in one buffer; the tap leaves it to its reader to say so. */
static void
set_num_buffers (const Chain *chain)
{
  const __virtio16 one = 1;
  size_t begin = offsetof (struct virtio_net_hdr_v1, num_buffers);

  for (unsigned i = 0; i < chain->n_in; i++)
    {
      if (begin + sizeof one <= chain->in[i].iov_len)
        {
          memcpy ((uint8_t *) chain->in[i].iov_base + begin, &one, sizeof one);
          return;
        }
      if (begin < chain->in[i].iov_len)
        return; /* cut in two: no driver does that */
      begin -= chain->in[i].iov_len;
    }
}

static uint32_t
receive (Net *net, const Chain *chain)
{
  ssize_t n = readv (net->fd, chain->in, (int) chain->n_in);

  if (n < 0 && (errno == EBADFD || errno == EIO))
    net->type.fd = -1; /* somebody deleted the interface, which would be ready for ever */
  if (n < (ssize_t) sizeof (struct virtio_net_hdr_v1))
    return VIRTIO_LATER; /* also after a frame that the buffer is too short for */
  set_num_buffers (chain);
  count (net, &net->received);
  return (uint32_t) n;
}

/* What the tap doesn't take for another reason is lost, as on a cable. */
static uint32_t
send_frame (Net *net, const Chain *chain)
{
  ssize_t n = writev (net->fd, chain->out, (int) chain->n_out);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return VIRTIO_LATER;
  if (n >= 0)
    count (net, &net->sent);
  return 0;
}

static uint32_t
serve (void *data, unsigned queue, const Chain *chain)
{
  return queue == RECEIVE ? receive (data, chain) : send_frame (data, chain);
}

/* The tap keeps it over an update: the new program doesn't have to say it again. */
static void
set_offload (void *data, uint64_t features)
{
  const Net *net = data;

  if (ioctl (net->fd, TUNSETOFFLOAD, features & 1ULL << VIRTIO_NET_F_GUEST_CSUM ? TUN_F_CSUM : 0) < 0)
    log_line ("net: TUNSETOFFLOAD: errno %d", errno);
}

/* ---- Building it. */

static bool
set_up_tap (int fd, const char *name, GError **error)
{
  struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
  int header_size = sizeof (struct virtio_net_hdr_v1);

  g_strlcpy (request.ifr_name, name, IFNAMSIZ);
  return (ioctl (fd, TUNSETIFF, &request) == 0 && ioctl (fd, TUNSETVNETHDRSZ, &header_size) == 0 &&
          ioctl (fd, TUNSETOFFLOAD, 0) == 0) ||
         throw_errno (error, "net: %s", name);
}

static int
open_tap (const char *name, int index, void *user_data, GError **error)
{
  int fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

  if (fd < 0)
    throw_errno (error, "net: /dev/net/tun");
  else if (!set_up_tap (fd, user_data, error))
    {
      close (fd);
      return -1;
    }
  return fd;
}

static bool
parse_mac (const char *text, uint8_t mac[6])
{
  int end = 0;

  return sscanf (text, "%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 "%n", &mac[0], &mac[1],
                 &mac[2], &mac[3], &mac[4], &mac[5], &end) == 6 &&
         text[end] == '\0';
}

/* The name of the interface in @name. */
static bool
parse (const char *where, char name[IFNAMSIZ], uint8_t mac[6], GError **error)
{
  g_auto (GStrv) words = g_strsplit (where, ",", -1);
  bool ok = words[0] && strcmp (words[0], "tap") == 0;

  name[0] = '\0';
  for (char **word = words + 1; ok && *word; word++)
    if (g_str_has_prefix (*word, "ifname="))
      ok = g_strlcpy (name, *word + strlen ("ifname="), IFNAMSIZ) < IFNAMSIZ;
    else
      ok = g_str_has_prefix (*word, "mac=") && parse_mac (*word + strlen ("mac="), mac);
  return (ok && name[0]) || throw_error (error, "--net: '%s' isn't tap,ifname=NAME[,mac=ADDRESS]", where);
}

Net *
net_new (const VirtioPlace *place, unsigned slot, const char *where, GError **error)
{
  Net *net = g_new0 (Net, 1);
  char name[IFNAMSIZ];

  pthread_mutex_init (&net->mutex, NULL);
  net->config = (struct virtio_net_config){ .mac = DEFAULT_MAC, .status = VIRTIO_NET_S_LINK_UP };
  if (!parse (where, name, net->config.mac, error))
    return NULL;
  net->fd = cpr_fd_open (place->session, "net-tap", 0, open_tap, name, error);
  if (net->fd < 0)
    return NULL;
  net->type = (VirtioType){
    .name = "virtio-net",
    .id = VIRTIO_ID_NET,
    .features = FEATURES,
    .n_queues = N_QUEUES,
    .config = &net->config,
    .config_size = sizeof net->config,
    .device = net,
    .serve = serve,
    .fd = net->fd,
    .events = { [RECEIVE] = POLLIN, [SEND] = POLLOUT },
    .negotiated = set_offload,
  };
  return cpr_device_add (place->session, "net", &net_type, net, error) && virtio_new (place, slot, &net->type, error)
             ? net
             : NULL;
}

NetCounts
net_get_counts (Net *net)
{
  pthread_mutex_lock (&net->mutex);
  NetCounts counts = { net->received, net->sent };
  pthread_mutex_unlock (&net->mutex);
  return counts;
}

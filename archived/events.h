/* The recording events stream (archive.md 5.15): told without guarantee, never waited for. */
#ifndef TERN_ARCHIVED_EVENTS_H
#define TERN_ARCHIVED_EVENTS_H

struct archive_server;
struct recording;

void events_recording_started(struct archive_server *server, const struct recording *recording);
void events_recording_progress(struct archive_server *server, struct recording *recording);
void events_recording_stopped(struct archive_server *server, const struct recording *recording);

#endif

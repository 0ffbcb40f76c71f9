// GnuTLS as Swift sees it. What is a macro there, or wants memory that stays where it is, is a
// function here.
#ifndef CGNUTLS_SHIM_H
#define CGNUTLS_SHIM_H

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/socket.h>
#include <gnutls/x509.h>

/// gnutls_free(3), which is a variable and a macro.
static inline void cgnutls_free(void *memory) { (gnutls_free)(memory); }

// MARK: - Sessions

// Whether an extension of a client's hello wants records that are shorter than 16 KiB:
// max_fragment_length (RFC 6066), which always does, or record_size_limit (RFC 8449).
static inline int cgnutls_note_record_limit(
    void *session, unsigned type, const unsigned char *data, unsigned size
) {
    int is_shorter = type == 1 || (type == 28 && size == 2 && (data[0] << 8 | data[1]) < 16384);
    if (is_shorter) gnutls_session_set_ptr(session, session);
    return 0;
}

// The library reports what is wrong with a hello.
static inline int cgnutls_look_at_hello(
    gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
    const gnutls_datum_t *message
) {
    (void)type, (void)when;
    if (!incoming) return 0;
    int code = gnutls_ext_raw_parse(
        session, cgnutls_note_record_limit, message, GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
    if (code < 0) gnutls_session_set_ptr(session, session);
    return 0;
}

/// gnutls_init(3) for a server: without SIGPIPE, and without tickets, since clients of disks do not resume sessions.
static inline int cgnutls_server_session(gnutls_session_t *session) {
    int code = gnutls_init(session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
    if (code < 0) return code;
    gnutls_handshake_set_hook_function(
        *session, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE, cgnutls_look_at_hello);
    return code;
}

/// Whether the client has asked for records of less than 16 KiB; for all that is known, if that could
/// not be told.
static inline int cgnutls_client_wants_short_records(gnutls_session_t session) {
    return gnutls_session_get_ptr(session) != NULL;
}

/// gnutls_session_set_verify_cert2(3): the client must present a certificate that the CA has signed and, if the
/// certificate has purposes, that is for clients.
static inline void cgnutls_require_client_certificate(gnutls_session_t session) {
    static gnutls_typed_vdata_st purpose[] = {
        { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT }
    };
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert2(session, purpose, 1, 0);
}

/// gnutls_transport_is_ktls_enabled(3): whether the kernel does both directions of a session.
static inline int cgnutls_kernel_does_records(gnutls_session_t session) {
    return gnutls_transport_is_ktls_enabled(session) == GNUTLS_KTLS_DUPLEX;
}

// MARK: - Making certificates

/// gnutls_x509_privkey_generate(3): a key on the curve P-256.
static inline int cgnutls_generate_key(gnutls_x509_privkey_t key) {
    unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    return gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, bits, 0);
}

/// gnutls_x509_crt_set_subject_key_id(3): a short name for the certificate's own key.
static inline int cgnutls_set_subject_key_id(gnutls_x509_crt_t certificate) {
    unsigned char id[64];
    size_t size = sizeof id;
    int code = gnutls_x509_crt_get_key_id(certificate, 0, id, &size);
    return code < 0 ? code : gnutls_x509_crt_set_subject_key_id(certificate, id, size);
}

/// gnutls_x509_crt_set_key_purpose_oid(3): for a server, or for a client.
static inline int cgnutls_set_purpose(gnutls_x509_crt_t certificate, int is_server) {
    const char *purpose = is_server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
    return gnutls_x509_crt_set_key_purpose_oid(certificate, purpose, 0);
}

#endif

#ifndef APUS_CXXHASH_H
#define APUS_CXXHASH_H
#endif
